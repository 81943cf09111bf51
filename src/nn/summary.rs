//! A model in words: its layers with output shapes, parameter counts and multiply-adds.

use std::fmt;

use super::Module;
use crate::error::Result;
use crate::graph::{Purpose, Tape};
use crate::tensor::{Role, Spec, Tensor};

/// One layer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its full name.
    pub name: String,
    /// What it computes.
    pub operation: &'static str,
    /// The shape of its output for one image.
    pub output: String,
    /// Numbers in its own parameters.
    pub parameters: usize,
    /// Products that are added up for one image, forward.
    pub multiply_adds: u64,
}

/// The layers of a model for one input shape; prints as a table.
#[derive(Clone, Debug)]
pub struct Summary {
    /// In the order in which they run.
    pub layers: Vec<Layer>,
    /// All parameters.
    pub parameters: usize,
    /// All multiply-adds of one image, forward.
    pub multiply_adds: u64,
}

impl Summary {
    /// Of `model` for one image of `shape`, [C, H, W].
    pub fn new(model: &dyn Module, shape: [usize; 3]) -> Result<Self> {
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32([1, shape[0], shape[1], shape[2]]))?;
        model.forward(&mut tape, input)?;
        let layers = tape.nodes().iter().map(|node| {
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
            let own = inputs.iter().filter(|tensor| matches!(tensor.role, Role::Parameter { .. }));
            Layer {
                name: node.name.clone(),
                operation: node.op.name(),
                output: tape.shape(node.outputs[0]).to_string(),
                parameters: own.map(|tensor| tensor.shape.len()).sum(),
                multiply_adds: node.op.multiply_adds(&inputs),
            }
        });
        let layers: Vec<Layer> = layers.collect();
        let parameters = tape.parameters().into_iter().map(|id| tape.shape(id).len()).sum();
        Ok(Summary { parameters, multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(), layers })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0).max(12);
        let head = ["operation", "output", "parameters", "multiply-adds"];
        writeln!(f, "{:<wide$} {:<19} {:<16} {:>12} {:>14}", "layer", head[0], head[1], head[2], head[3])?;
        for layer in &self.layers {
            let Layer { name, operation, output, parameters, multiply_adds } = layer;
            let operation = operation.trim_end_matches("_eval");
            writeln!(f, "{name:<wide$} {operation:<19} {output:<16} {parameters:>12} {multiply_adds:>14}")?;
        }
        write!(f, "{:<wide$} {:<36} {:>12} {:>14}", "total", "", self.parameters, self.multiply_adds)
    }
}
