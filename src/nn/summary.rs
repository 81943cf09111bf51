//! A model in words: its layers with output shapes and parameter counts.

use std::fmt;

use super::Module;
use crate::error::Result;
use crate::graph::{Role, Spec, Tape};

/// The layers of a model for one input shape; prints as a table.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Name, operation, output shape and number of parameters of each layer.
    pub layers: Vec<(String, &'static str, String, usize)>,
    /// All parameters.
    pub parameters: usize,
}

impl Summary {
    /// Of `model` for one item of `shape`, [C, H, W].
    pub fn new(model: &dyn Module, shape: [usize; 3]) -> Result<Self> {
        let mut tape = Tape::new(false);
        let input = tape.input("input", Spec::f32([1, shape[0], shape[1], shape[2]]))?;
        model.forward(&mut tape, input)?;
        let layers = tape.nodes().iter().map(|node| {
            let own = node.inputs.iter().map(|&id| tape.tensor(id));
            let parameters = own.filter(|t| matches!(t.role, Role::Parameter { .. })).map(|t| t.shape.len()).sum();
            (node.name.clone(), node.op.name(), tape.shape(node.outputs[0]).to_string(), parameters)
        });
        let layers: Vec<_> = layers.collect();
        let parameters = tape.parameters().into_iter().map(|id| tape.shape(id).len()).sum();
        Ok(Summary { layers, parameters })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:<12} {:<14} {:>12}", "layer", "operation", "output", "parameters")?;
        for (name, operation, output, parameters) in &self.layers {
            writeln!(f, "{name:<12} {operation:<12} {output:<14} {parameters:>12}")?;
        }
        write!(f, "{:<40} {:>12}", "total", self.parameters)
    }
}
