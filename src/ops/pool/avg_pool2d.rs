//! avg_pool2d and its gradient.

use std::ops::Range;

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Candidate, Caps, Lowering, Tensors, source};
use crate::ops::arity;
use crate::ops::pool::window::{Params, PoolWindow};
use crate::shape::{Shape, Window};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Mean of each window. Source: torch.nn.AvgPool2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvgPool2dAttributes {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step from one window to the next; PyTorch's default is the kernel.
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side, at most half the kernel.
    pub padding: [usize; 2],
    /// True if the last window may reach beyond the padded input.
    pub ceil_mode: bool,
    /// True if the divisor counts the padding: the window is then clipped to the padded input, else to the input.
    pub count_include_pad: bool,
    /// Divisor in place of either.
    pub divisor_override: Option<usize>,
}

impl AvgPool2dAttributes {
    /// Creates windows of `kernel` without overlap, the stride being the kernel.
    pub fn new(kernel: [usize; 2]) -> Self {
        AvgPool2dAttributes {
            kernel,
            stride: kernel,
            padding: [0; 2],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

/// The gradient of [`AvgPool2dAttributes`]; the operand is grad_output.
#[derive(Clone, Debug)]
pub struct AvgPool2dGrad {
    /// The pooling.
    pub pool: AvgPool2dAttributes,
    /// The shape of its input.
    pub input: Shape,
}

impl Tape {
    /// Appends the mean of each window of `input` [N, C, H, W].
    pub fn avg_pool2d(&mut self, name: &str, input: TensorId, pool: AvgPool2dAttributes) -> Result<TensorId> {
        Ok(self.append(name, pool, &[input], &[])?[0])
    }
}

impl AvgPool2dAttributes {
    /// The window that slides over the input.
    fn window(&self) -> PoolWindow {
        let AvgPool2dAttributes { kernel, stride, padding, ceil_mode, .. } = *self;
        PoolWindow { kernel, stride, padding, dilation: [1; 2], ceil_mode }
    }

    fn params(&self, input: [u32; 4], output: [u32; 4]) -> Params {
        Params {
            count_include_pad: u32::from(self.count_include_pad),
            divisor_override: self.divisor_override.unwrap_or(0) as u32,
            ..self.window().params(input, output)
        }
    }
}

impl Operation for AvgPool2dAttributes {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        if self.divisor_override == Some(0) {
            return Err(Misfit::Attribute("divisor_override must not be 0".into()));
        }
        Ok(vec![Spec::f32(self.window().output(inputs[0])?)])
    }

    fn window(&self, _inputs: &[&Tensor]) -> Option<Window> {
        let [ph, pw] = self.padding;
        Some(Window { kernel: self.kernel, stride: self.stride, padding: [ph, ph, pw, pw], dilation: [1; 2] })
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = AvgPool2dGrad { pool: *self, input: tape.shape(node.inputs[0]).clone() };
        Ok(vec![Some(tape.append(&node.name, op, &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let output = lowering.output_dims(0);
        let files =
            [source!("pool/avg_pool2d.wgsl"), source!("pool/avg_pool2d_window.wgsl"), source!("pool/window.wgsl")];
        let dispatch = self.params(lowering.input_dims(0), output).dispatch("avg_pool2d", &files, output);
        lowering.push(
            dispatch.elements(self.window().taps()).bind("input", lowering.input(0)).bind("output", lowering.output(0)),
        );
        Ok(())
    }
}

impl Operation for AvgPool2dGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![Spec::f32(self.input.clone())])
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn key(&self) -> Option<String> {
        let AvgPool2dAttributes { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw], .. } = self.pool;
        let AvgPool2dAttributes { ceil_mode, count_include_pad, divisor_override, .. } = self.pool;
        let divisor = divisor_override.map_or_else(|| "none".to_string(), |divisor| divisor.to_string());
        Some(format!(
            "avg_pool2d_grad kernel={kh},{kw} stride={sh},{sw} padding={ph},{pw} ceil_mode={ceil_mode} \
             count_include_pad={count_include_pad} divisor_override={divisor} input={}",
            self.input
        ))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        let params = self.pool.params(tensors.output_dims(0), tensors.input_dims(0));
        let kernels = [
            ("avg_pool2d_grad/windows", source!("pool/avg_pool2d_grad_windows.wgsl")),
            ("avg_pool2d_grad/direct", source!("pool/avg_pool2d_grad.wgsl")),
        ];
        let shared = source!("pool/avg_pool2d_window.wgsl");
        self.pool.window().grad_candidates(tensors, params, kernels, shared, |lowering, dispatch| {
            let dispatch = dispatch.bind("grad_output", lowering.input(0)).bind("grad_input", lowering.output(0));
            lowering.epilogue(0).apply(dispatch)
        })
    }
}

impl AvgPool2dAttributes {
    /// Along one axis: the window of output `o` clipped to the input, and its length clipped to the padded input.
    fn side(&self, o: usize, axis: usize, size: usize) -> (Range<usize>, usize) {
        let first = o * self.stride[axis];
        let end = (first + self.kernel[axis]).min(size + 2 * self.padding[axis]);
        let inside = |place: usize| place.saturating_sub(self.padding[axis]).min(size);
        (inside(first)..inside(end), end - first)
    }

    /// The window of an output pixel clipped to the input, and its divisor.
    fn place(&self, oh: usize, ow: usize, in_h: usize, in_w: usize) -> (Range<usize>, Range<usize>, f64) {
        let ((rows, height), (columns, width)) = (self.side(oh, 0, in_h), self.side(ow, 1, in_w));
        let divisor = match self.divisor_override {
            Some(divisor) => divisor,
            None if self.count_include_pad => height * width,
            None => rows.len() * columns.len(),
        };
        (rows, columns, divisor as f64)
    }
}

impl Twin for AvgPool2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, _, in_h, in_w] = inputs.nchw(0);
        let [_, _, out_h, out_w] = inputs.output_nchw(0);
        for (i, y) in outputs.real(0).iter_mut().enumerate() {
            let plane = i / (out_h * out_w);
            let (rows, columns, divisor) = self.place(i / out_w % out_h, i % out_w, in_h, in_w);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            let mut sum = R::default();
            for h in rows {
                for w in columns.clone() {
                    sum += input[(plane * in_h + h) * in_w + w];
                }
            }
            *y = sum / R::of(divisor);
        }
    }
}

impl Twin for AvgPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, &dy) in inputs.real(0).iter().enumerate() {
            let plane = i / (out_h * out_w);
            let (rows, columns, divisor) = self.pool.place(i / out_w % out_h, i % out_w, in_h, in_w);
            for h in rows {
                for w in columns.clone() {
                    grad_input[(plane * in_h + h) * in_w + w] += dy / R::of(divisor);
                }
            }
        }
    }
}
