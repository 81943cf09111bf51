//! A model summary: its layers with their windows, output shapes, parameters, multiply-adds and receptive fields.

use std::collections::HashMap;
use std::fmt;

use super::Module;
use crate::error::Result;
use crate::graph::{Node, Purpose, Tape};
use crate::shape::{ImageSize, Shape, Window};
use crate::tensor::{Role, Spec, Tensor, TensorId};

/// One layer of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// Its full name.
    pub name: String,
    /// The operation that it computes.
    pub operation: &'static str,
    /// The window over its input, if it has one.
    pub window: Option<Window>,
    /// Output shape for one image: \[C, H, W\] or \[features\].
    pub output: Shape,
    /// Number of values in its own parameters.
    pub parameters: usize,
    /// Multiply-adds of the forward pass for one image.
    pub multiply_adds: u64,
    /// Rows and columns of the model's input that affect one output element, as if the image had no edges; 0 if none
    /// do.
    pub receptive_field: [usize; 2],
}

/// The layers of a model in its training form, for one image size. Prints as a table.
/// ```
/// use tilegrad::nn::models::LeNet5;
/// use tilegrad::nn::{Module, Summary};
/// use tilegrad::shape::ImageSize;
///
/// let summary = LeNet5::new(10).summary(ImageSize::new(28, 28, 1))?;
/// let pool2 = summary.layers.iter().find(|layer| layer.name == "pool2").unwrap();
/// assert_eq!(pool2.receptive_field, [16, 16]);
/// print!("{summary}");
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The layers in execution order.
    pub layers: Vec<Layer>,
    /// Total number of parameters.
    pub parameters: usize,
    /// Total multiply-adds of the forward pass for one image.
    pub multiply_adds: u64,
}

/// Images on the tape. A batch norm in training needs more than one value per channel, even for a single pixel.
const IMAGES: usize = 2;

impl Summary {
    /// Summarises the layers of `model` for one image of `size`.
    pub fn new(model: &dyn Module, size: ImageSize) -> Result<Self> {
        // A tape for evaluation would have no dropout.
        let mut tape = Tape::new(Purpose::Train);
        let input = tape.input("input", Spec::f32(size.nchw(IMAGES)))?;
        model.forward(&mut tape, input)?;
        let mut views = HashMap::from([(input, View::of_image(size))]);
        let layers: Vec<Layer> = tape.nodes().iter().map(|node| Layer::new(&tape, node, &mut views)).collect();
        let parameters = tape.parameters().into_iter().map(|id| tape.shape(id).len()).sum();
        Ok(Summary { parameters, multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(), layers })
    }
}

impl Layer {
    /// The layer of `node`. `views` holds the views of earlier tensors, and receives those of the node's outputs.
    fn new(tape: &Tape, node: &Node, views: &mut HashMap<TensorId, View>) -> Self {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
        let own = inputs.iter().filter(|tensor| matches!(tensor.role, Role::Parameter { .. }));
        let window = node.op.window(&inputs);
        let multiply_adds = node.op.multiply_adds(&inputs) / IMAGES as u64;
        let nothing = Shape::default();
        let output = node.outputs.first().map_or(&nothing, |&id| tape.shape(id));
        let seen = node.inputs.iter().filter_map(|id| views.get(id).copied()).reduce(View::joined);
        let view = seen.map(|seen| match window {
            Some(window) => seen.through(window),
            // In a product of features, as in a linear layer, each output depends on all inputs.
            None if multiply_adds > 0 && output.rank() == 2 => seen.whole(),
            // The only operation that makes pixels smaller.
            None if node.op.name() == "upsample" => seen.enlarged(output),
            None => seen,
        });
        let view = view.map(|view| view.with_extents(output));
        views.extend(view.into_iter().flat_map(|view| node.outputs.iter().map(move |&id| (id, view))));
        Layer {
            name: node.name.clone(),
            operation: node.op.name(),
            window,
            output: Shape::from(&output.dims()[output.rank().min(1)..]),
            parameters: own.map(|tensor| tensor.shape.len()).sum(),
            multiply_adds,
            receptive_field: view.map_or([0; 2], |view| view.field.map(|pixels| pixels.ceil() as usize)),
        }
    }
}

/// The view that the elements of a tensor have of the model's input, as (height, width).
///
/// Source: Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
#[derive(Clone, Copy)]
struct View {
    /// Receptive field in pixels of the model's input.
    field: [f64; 2],
    /// Distance between neighbouring elements, in pixels of the model's input.
    jump: [f64; 2],
    /// Extents in elements, for a row of features those of its source.
    extents: [usize; 2],
}

impl View {
    fn of_image(size: ImageSize) -> Self {
        View { field: [1.0; 2], jump: [1.0; 2], extents: [size.height, size.width] }
    }

    /// The view of elements computed from both.
    fn joined(self, other: View) -> View {
        let larger = |a: [f64; 2], b: [f64; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        View { field: larger(self.field, other.field), jump: larger(self.jump, other.jump), ..self }
    }

    /// The view through `reach` further elements on each axis.
    fn farther(self, reach: [usize; 2]) -> View {
        let field = [0, 1].map(|axis| self.field[axis] + reach[axis] as f64 * self.jump[axis]);
        View { field, ..self }
    }

    fn through(self, window: Window) -> View {
        let View { field, jump, extents } =
            self.farther([0, 1].map(|axis| window.dilation[axis] * window.kernel[axis].saturating_sub(1)));
        View { field, jump: [0, 1].map(|axis| jump[axis] * window.stride[axis] as f64), extents }
    }

    fn whole(self) -> View {
        View { extents: [1; 2], ..self.farther(self.extents.map(|extent| extent.saturating_sub(1))) }
    }

    fn enlarged(self, output: &Shape) -> View {
        let Some([.., height, width]) = output.nchw() else { return self };
        let factor = [height as f64 / self.extents[0] as f64, width as f64 / self.extents[1] as f64];
        View { jump: [0, 1].map(|axis| self.jump[axis] / factor[axis]), ..self }
    }

    fn with_extents(self, output: &Shape) -> View {
        match output.nchw() {
            Some([.., height, width]) => View { extents: [height, width], ..self },
            None => self,
        }
    }
}

/// Formats extents briefly: "3" for 3 by 3, else for example "1x7".
fn short(extents: [usize; 2]) -> String {
    let [height, width] = extents;
    if height == width { height.to_string() } else { format!("{height}x{width}") }
}

/// Formats a window as "kernel/stride/padding", followed by the dilation if there is one.
fn window_text(window: &Window) -> String {
    let Window { kernel, stride, padding: [top, bottom, left, right], dilation } = *window;
    let padding = match top == bottom && left == right {
        true => short([top, left]),
        false => format!("{top},{bottom},{left},{right}"),
    };
    let dilation = if dilation == [1; 2] { String::new() } else { format!("/{}", short(dilation)) };
    format!("{}/{}/{padding}{dilation}", short(kernel), short(stride))
}

/// An operation's name for a table, without its family if it is long.
fn kind(operation: &str) -> &str {
    if operation.len() > 16 { operation.trim_end_matches("_pool2d") } else { operation }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "kind", "k/s/p", "output", "params", "mul-adds", "field"].map(String::from);
        let of = |layer: &Layer| {
            [
                layer.name.clone(),
                kind(layer.operation).to_string(),
                layer.window.as_ref().map_or("-".into(), window_text),
                layer.output.to_string(),
                layer.parameters.to_string(),
                layer.multiply_adds.to_string(),
                short(layer.receptive_field),
            ]
        };
        let (parameters, multiply_adds) = (self.parameters.to_string(), self.multiply_adds.to_string());
        let nothing = String::new;
        let total = ["total".into(), nothing(), nothing(), nothing(), parameters, multiply_adds, nothing()];
        let rows: Vec<[String; 7]> = [head].into_iter().chain(self.layers.iter().map(of)).chain([total]).collect();
        let wide: [usize; 7] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in &rows {
            let cells = row.iter().zip(wide).enumerate().map(|(column, (cell, wide))| match column {
                0..4 => format!("{cell:<wide$}"),
                _ => format!("{cell:>wide$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join(" ").trim_end())?;
        }
        write!(f, "k/s/p: kernel/stride/padding(/dilation); field: receptive field in pixels")
    }
}
