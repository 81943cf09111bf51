//! Nearest-neighbour upsampling by integer factors, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Source, source};
use crate::ops::{arity, bounded, nchw};
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin, fill_nchw};

/// Repeats every pixel as scale_factor rows by columns. Source: torch.nn.Upsample with mode='nearest'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpsampleAttributes {
    /// Number of rows and columns per pixel.
    pub scale_factor: [usize; 2],
}

/// The gradient of [`UpsampleAttributes`]; the operand is grad_output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpsampleGrad(pub UpsampleAttributes);

params! {
    /// Extents of the smaller side, channels in E of the header, and the factors.
    pub(crate) struct Params { batch: u32, channels: u32, in_h: u32, in_w: u32, scale_h: u32, scale_w: u32 }
}

impl Tape {
    /// Appends `input` [N, C, H, W] with every pixel repeated as `scale_factor` rows by columns.
    pub fn upsample(&mut self, name: &str, input: TensorId, scale_factor: [usize; 2]) -> Result<TensorId> {
        Ok(self.append(name, UpsampleAttributes { scale_factor }, &[input], &[])?[0])
    }
}

impl UpsampleAttributes {
    /// Creates a dispatch with one invocation per channel, or per four, of the output; the extents are those of the
    /// smaller side.
    fn dispatch(
        self,
        lowering: &mut Lowering<'_>,
        name: &'static str,
        main: Source,
        [batch, channels, in_h, in_w]: [u32; 4],
        (bindings, elements): ([&'static str; 2], usize),
    ) {
        let each = if channels.is_multiple_of(4) { 4 } else { 1 };
        let [scale_h, scale_w] = self.scale_factor.map(|scale| scale as u32);
        let params = Params { batch, channels: channels / each, in_h, in_w, scale_h, scale_w };
        let (from, to) = (lowering.input(0), lowering.output(0));
        let files = [main, source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new(name, &files).constant("WG", 64).elements(each);
        let extent = Extent::Invocations(lowering.output_len(0) / u64::from(each));
        lowering.push(
            Dispatch::new(kernel, &params, extent)
                .elements(elements as u64)
                .bind(bindings[0], from)
                .bind(bindings[1], to),
        );
    }
}

impl Operation for UpsampleAttributes {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, h, w] = nchw(inputs[0], "input")?;
        let [scale_h, scale_w] = self.scale_factor;
        if scale_h == 0 || scale_w == 0 {
            return Err(Misfit::Attribute(format!("scale_factor must be at least 1, it is {:?}", self.scale_factor)));
        }
        bounded([n, c, h.saturating_mul(scale_h), w.saturating_mul(scale_w)])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        Ok(vec![Some(tape.append(&node.name, UpsampleGrad(*self), &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let small = lowering.input_dims(0);
        self.dispatch(lowering, "upsample", source!("shape/upsample.wgsl"), small, (["input", "output"], 1));
        Ok(())
    }
}

impl Operation for UpsampleGrad {
    fn name(&self) -> &'static str {
        "upsample_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, h, w] = nchw(inputs[0], "grad_output")?;
        let [scale_h, scale_w] = self.0.scale_factor;
        Ok(vec![Spec::f32([n, c, h / scale_h, w / scale_w])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let small = lowering.output_dims(0);
        let bindings = ["grad_output", "grad_input"];
        let window = self.0.scale_factor.iter().product();
        self.0.dispatch(lowering, "upsample_grad", source!("shape/upsample_grad.wgsl"), small, (bindings, window));
        Ok(())
    }
}

impl Twin for UpsampleAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, c, in_h, in_w] = inputs.nchw(0);
        let [scale_h, scale_w] = self.scale_factor;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, oh, ow| {
            input[((n * c + channel) * in_h + oh / scale_h) * in_w + ow / scale_w]
        });
    }
}

impl Twin for UpsampleGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let grad_output = inputs.real(0);
        let [_, c, out_h, out_w] = inputs.nchw(0);
        let [scale_h, scale_w] = self.0.scale_factor;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, h, w| {
            let mut sum = R::default();
            for oh in h * scale_h..(h + 1) * scale_h {
                let row = &grad_output[((n * c + channel) * out_h + oh) * out_w..][..out_w];
                sum += row[w * scale_w..][..scale_w].iter().copied().sum();
            }
            sum
        });
    }
}
