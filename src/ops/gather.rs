//! A batch collected from a data set that lies on the device: images from bytes to numbers, and labels.

use super::lowering::{Extent, Kernel, Lowering, bytes_of, params, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Spec, Tape, Tensor, TensorId};
use crate::shape::{DType, Layout};

/// `scale byte + shift` of the images that the indices name: operands are images [count, C, H, W] and indices [N].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    /// What a byte is multiplied by; 1/255 brings it to 0..1.
    pub scale: f32,
    /// What is added.
    pub shift: f32,
}

/// The labels that the indices name: operands are labels [count] and indices [N].
#[derive(Clone, Copy, Debug)]
pub struct GatherLabels;

params! {
    /// Rows asked for; elements and words of an image; the images of this piece; how a byte becomes a number.
    Params { rows: u32, elements: u32, words: u32, first: u32, count: u32, scale: f32, shift: f32 }
}

impl Tape {
    /// Images as numbers, [N, C, H, W], for the indices of a batch.
    pub fn gather(&mut self, name: &str, images: TensorId, indices: TensorId, op: Gather) -> Result<TensorId> {
        Ok(self.append(name, op, &[images, indices], &[])?[0])
    }

    /// Labels, [N], for the indices of a batch.
    pub fn gather_labels(&mut self, name: &str, labels: TensorId, indices: TensorId) -> Result<TensorId> {
        Ok(self.append(name, GatherLabels, &[labels, indices], &[])?[0])
    }
}

impl Operation for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        match (inputs[0].shape.dims(), inputs[1].shape.dims()) {
            (&[_, c, h, w], &[n]) if inputs[0].dtype == DType::U8 && inputs[0].layout == Layout::ChannelsLast => {
                Ok(vec![Spec::f32([n, c, h, w])])
            }
            _ => Err(Misfit::Shape(format!(
                "images must be bytes [count,C,H,W] and indices [N], they are {} of {:?} and {}",
                inputs[0].shape, inputs[0].dtype, inputs[1].shape
            ))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [rows, c, h, w] = lowering.output_dims(0);
        let elements = c * h * w;
        let params = Params {
            rows,
            elements,
            words: elements.div_ceil(4),
            scale: self.scale,
            shift: self.shift,
            ..Params::default()
        };
        each_piece(lowering, params, || {
            Kernel::new("gather", &[source!("gather.wgsl"), source!("lib/divide.wgsl"), source!("lib/index.wgsl")])
        })
    }
}

impl Operation for GatherLabels {
    fn name(&self) -> &'static str {
        "gather_labels"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        match (inputs[0].shape.dims(), inputs[1].shape.dims()) {
            (&[_], &[n]) if inputs[0].dtype == DType::I32 => Ok(vec![Spec::i32([n])]),
            _ => Err(Misfit::Shape(format!(
                "labels must be i32 [count] and indices [N], they are {} of {:?} and {}",
                inputs[0].shape, inputs[0].dtype, inputs[1].shape
            ))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params { rows: lowering.output_dims(0)[0], elements: 1, words: 1, ..Params::default() };
        each_piece(lowering, params, || {
            Kernel::new(
                "gather_labels",
                &[source!("gather_labels.wgsl"), source!("lib/divide.wgsl"), source!("lib/index.wgsl")],
            )
        })
    }
}

/// One dispatch for each piece of the data set; each fills the rows whose index lies in its piece.
fn each_piece(lowering: &mut Lowering<'_>, params: Params, kernel: impl Fn() -> Kernel) -> Result<()> {
    let extent = Extent::Invocations(u64::from(params.rows) * u64::from(params.elements));
    for (piece, (first, count)) in lowering.input_pieces(0)?.rows().enumerate() {
        let params = Params { first: first as u32, count: count as u32, ..params };
        let (data, indices, output) = (lowering.input_piece(0, piece), lowering.input(1), lowering.output(0));
        lowering
            .dispatch(kernel().constant("WG", 64), bytes_of!(Params, &params), extent)
            .bind("data", data)
            .bind("indices", indices)
            .bind("output", output);
    }
    Ok(())
}
