//! Zero padding and cropping of images.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::{arity, bounded, nchw};
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin, fill_nchw};

/// Adds zeros around each image, or removes rows and columns. Source: torch.nn.ZeroPad2d, which lists left and right
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZeroPad2dAttributes {
    /// Rows and columns of zeros: top, bottom, left, right; a negative number crops.
    pub padding: [isize; 4],
}

params! {
    /// Extents, channels in E of the header, and the rows and columns before the input.
    pub(crate) struct Params { batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32, top: i32, left: i32 }
}

impl Tape {
    /// Appends `input` [N, C, H, W] with `padding` rows and columns of zeros: top, bottom, left, right; negative
    /// numbers crop.
    pub fn zero_pad2d(&mut self, name: &str, input: TensorId, padding: [isize; 4]) -> Result<TensorId> {
        Ok(self.append(name, ZeroPad2dAttributes { padding }, &[input], &[])?[0])
    }
}

/// An extent with padding on both sides; `None` if nothing is left or one side crops more than there is.
fn padded(extent: usize, before: isize, after: isize) -> Option<usize> {
    // In 128 bits no sum of three overflows.
    let [extent, before, after] = [extent as i128, before as i128, after as i128];
    let output = extent + before + after;
    let fits = output > 0 && extent + before >= 0 && extent + after >= 0;
    if fits { usize::try_from(output).ok() } else { None }
}

impl Operation for ZeroPad2dAttributes {
    fn name(&self) -> &'static str {
        "zero_pad2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, h, w] = nchw(inputs[0], "input")?;
        let [top, bottom, left, right] = self.padding;
        let (Some(out_h), Some(out_w)) = (padded(h, top, bottom), padded(w, left, right)) else {
            return Err(Misfit::Attribute(format!(
                "padding {:?} (top, bottom, left, right) leaves nothing of input {}",
                self.padding, inputs[0].shape
            )));
        };
        bounded([n, c, out_h, out_w])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        Ok(vec![Some(tape.zero_pad2d(&node.name, grad_output, self.padding.map(|side| -side))?)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let ([batch, channels, in_h, in_w], [_, _, out_h, out_w]) = (lowering.input_dims(0), lowering.output_dims(0));
        let each = if channels.is_multiple_of(4) { 4 } else { 1 };
        let [top, _, left, _] = self.padding.map(|side| side as i32);
        let params = Params { batch, channels: channels / each, in_h, in_w, out_h, out_w, top, left };
        let (input, output) = (lowering.input(0), lowering.output(0));
        let files = [source!("shape/zero_pad2d.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("zero_pad2d", &files).constant("WG", 64).elements(each);
        let extent = Extent::Invocations(lowering.output_len(0) / u64::from(each));
        lowering
            .push(Dispatch::new(kernel, &params, extent).elements(1_u32).bind("input", input).bind("output", output));
        Ok(())
    }
}

impl Twin for ZeroPad2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, c, in_h, in_w] = inputs.nchw(0);
        let [top, _, left, _] = self.padding;
        let inside = |o: usize, before: isize, size: usize| {
            usize::try_from(o as isize - before).ok().filter(|&place| place < size)
        };
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, oh, ow| {
            match (inside(oh, top, in_h), inside(ow, left, in_w)) {
                (Some(h), Some(w)) => input[((n * c + channel) * in_h + h) * in_w + w],
                _ => R::default(),
            }
        });
    }
}
