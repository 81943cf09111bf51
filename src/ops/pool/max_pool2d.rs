//! max_pool2d and its gradient, which goes to the winning element alone.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Candidate, Caps, Tensors, source};
use crate::ops::arity;
use crate::ops::pool::window::PoolWindow;
use crate::shape::{Shape, Window};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Largest element of each window. The first of equal elements wins, and NaN wins over all. Source: torch.nn.MaxPool2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool2dAttributes {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step from one window to the next; PyTorch's default is the kernel.
    pub stride: [usize; 2],
    /// Rows and columns of minus infinity on each side, at most half the kernel.
    pub padding: [usize; 2],
    /// Distance between the window's elements.
    pub dilation: [usize; 2],
    /// True if the last window may reach beyond the padded input.
    pub ceil_mode: bool,
}

impl MaxPool2dAttributes {
    /// Creates windows of `kernel` without overlap, the stride being the kernel.
    pub fn new(kernel: [usize; 2]) -> Self {
        MaxPool2dAttributes { kernel, stride: kernel, padding: [0; 2], dilation: [1; 2], ceil_mode: false }
    }
}

/// The gradient of [`MaxPool2dAttributes`]; operands are grad_output and the indices of the winners.
#[derive(Clone, Debug)]
pub struct MaxPool2dGrad {
    /// The pooling.
    pub pool: MaxPool2dAttributes,
    /// The shape of its input.
    pub input: Shape,
}

impl Tape {
    /// Appends the largest element of each window of `input` [N, C, H, W].
    pub fn max_pool2d(&mut self, name: &str, input: TensorId, pool: MaxPool2dAttributes) -> Result<TensorId> {
        Ok(self.append(name, pool, &[input], &[])?[0])
    }
}

impl MaxPool2dAttributes {
    /// The window that slides over the input.
    fn window(&self) -> PoolWindow {
        let MaxPool2dAttributes { kernel, stride, padding, dilation, ceil_mode } = *self;
        PoolWindow { kernel, stride, padding, dilation, ceil_mode }
    }

    /// The attributes as written in keys.
    pub(crate) fn attributes(&self, operation: &str) -> String {
        let MaxPool2dAttributes {
            kernel: [kh, kw],
            stride: [sh, sw],
            padding: [ph, pw],
            dilation: [dh, dw],
            ceil_mode,
        } = self;
        format!(
            "{operation} kernel={kh},{kw} stride={sh},{sw} padding={ph},{pw} dilation={dh},{dw} ceil_mode={ceil_mode}"
        )
    }
}

impl Operation for MaxPool2dAttributes {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let output = self.window().output(inputs[0])?;
        Ok(vec![Spec::f32(output), Spec::i32(output)])
    }

    fn window(&self, _inputs: &[&Tensor]) -> Option<Window> {
        let [ph, pw] = self.padding;
        Some(Window { kernel: self.kernel, stride: self.stride, padding: [ph, ph, pw, pw], dilation: self.dilation })
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = MaxPool2dGrad { pool: *self, input: tape.shape(node.inputs[0]).clone() };
        let operands = [grad_output, node.outputs[1]];
        Ok(vec![Some(tape.append(&node.name, op, &operands, &[])?[0])])
    }

    fn key(&self) -> Option<String> {
        Some(self.attributes("max_pool2d"))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        let [input, output] = [tensors.input_dims(0), tensors.output_dims(0)];
        let window = self.window();
        let candidate = |name, kernel, file| {
            Candidate::new(name, move |lowering| {
                let files = [file, source!("pool/window.wgsl"), source!("lib/nan.wgsl")];
                let dispatch = window.params(input, output).dispatch(kernel, &files, output);
                lowering.push(
                    dispatch
                        .elements(window.taps())
                        .bind("input", lowering.input(0))
                        .bind("output", lowering.output(0))
                        .bind("indices", lowering.output(1)),
                );
                Ok(())
            })
        };
        // With ceil_mode a last window may reach beyond the input.
        let whole = !self.ceil_mode || (input[2] % self.kernel[0] as u32 == 0 && input[3] % self.kernel[1] as u32 == 0);
        let windows = || candidate("windows", "max_pool2d/windows", source!("pool/max_pool2d_windows.wgsl"));
        let direct = candidate("direct", "max_pool2d/direct", source!("pool/max_pool2d.wgsl"));
        (whole && window.side_by_side()).then(windows).into_iter().chain([direct]).collect()
    }
}

/// Candidates of the gradient, with `relu` also through the relu whose output was pooled.
pub(crate) fn grad_candidates<'a>(op: &MaxPool2dGrad, tensors: &Tensors<'_>, relu: bool) -> Vec<Candidate<'a>> {
    let arriving = match relu {
        true => source!("pool/max_pool2d_grad_arriving_relu.wgsl"),
        false => source!("pool/max_pool2d_grad_arriving.wgsl"),
    };
    let window = op.pool.window();
    let params = window.params(tensors.output_dims(0), tensors.input_dims(0));
    let kernels = [
        ("max_pool2d_grad/windows", source!("pool/max_pool2d_grad_windows.wgsl")),
        ("max_pool2d_grad/direct", source!("pool/max_pool2d_grad.wgsl")),
    ];
    window.grad_candidates(tensors, params, kernels, arriving, move |lowering, dispatch| {
        dispatch
            .bind("grad_output", lowering.input(0))
            .bind("indices", lowering.input(1))
            .bind("grad_input", lowering.output(0))
            .bind_all(relu.then(|| ("output", lowering.input(2))))
    })
}

impl Operation for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::f32(self.input.clone())])
    }

    fn key(&self) -> Option<String> {
        Some(format!("{} input={}", self.pool.attributes("max_pool2d_grad"), self.input))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        grad_candidates(self, tensors, false)
    }
}

impl Twin for MaxPool2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, _, in_h, in_w] = inputs.nchw(0);
        let [batch, channels, out_h, out_w] = inputs.output_nchw(0);
        for plane in 0..batch * channels {
            for place in 0..out_h * out_w {
                let (oh, ow) = (place / out_w, place % out_w);
                let mut winner: Option<(usize, R)> = None;
                for kh in 0..self.kernel[0] {
                    for kw in 0..self.kernel[1] {
                        let h = (oh * self.stride[0] + kh * self.dilation[0]).checked_sub(self.padding[0]);
                        let w = (ow * self.stride[1] + kw * self.dilation[1]).checked_sub(self.padding[1]);
                        let (Some(h), Some(w)) = (h, w) else { continue };
                        if h >= in_h || w >= in_w {
                            continue;
                        }
                        let value = input[(plane * in_h + h) * in_w + w];
                        // The first of equal elements wins; NaN wins over all before it.
                        if winner.is_none_or(|(_, best)| value > best || value.to_f64().is_nan()) {
                            winner = Some((h * in_w + w, value));
                        }
                    }
                }
                // A dilated window may have all its taps in the padding. It then has no winner and passes no gradient.
                let (index, value) =
                    winner.map_or((-1, R::of(f64::NEG_INFINITY)), |(index, value)| (index as i32, value));
                outputs.real(0)[plane * out_h * out_w + place] = value;
                outputs.ints(1)[plane * out_h * out_w + place] = index;
            }
        }
    }
}

impl Twin for MaxPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, indices) = (inputs.real(0), inputs.ints(1));
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, (&dy, &index)) in grad_output.iter().zip(indices).enumerate() {
            if let Ok(index) = usize::try_from(index) {
                grad_input[i / (out_h * out_w) * in_h * in_w + index] += dy;
            }
        }
    }
}
