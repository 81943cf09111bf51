//! conv2d (cross-correlation) with stride, padding, dilation and groups, and its three gradients.

use super::lowering::{Caps, Extent, Kernel, Lowering, Operand, bytes_of, params, source};
use super::product::{self, Tiling};
use super::{Misfit, Operation, arity, depthwise, few, nchw, window::positive};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};
use crate::shape::{Layout, Shape, conv_output};

/// The attributes of a convolution; every pair is (height, width). Source: torch.nn.Conv2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// How far the window moves.
    pub stride: [usize; 2],
    /// Rows or columns of zeros: top, bottom, left, right.
    pub padding: [usize; 4],
    /// How far apart the window's elements lie.
    pub dilation: [usize; 2],
    /// Into how many separate convolutions the channels fall; as many as input channels is depthwise.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Conv2d { stride: [1; 2], padding: [0; 4], dilation: [1; 2], groups: 1 }
    }
}

/// The gradient of [`Conv2d`] by its input: operands are grad_output and weight.
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// The shape of its input.
    pub input: Shape,
}

/// The gradient of [`Conv2d`] by its weight: operands are input and grad_output.
#[derive(Clone, Debug)]
pub struct Conv2dGradWeight {
    /// The convolution.
    pub conv: Conv2d,
    /// The shape of its weight.
    pub weight: Shape,
}

params! {
    /// Extents and attributes of a convolution, and of the product that it is: rows m, columns n, depth k.
    Params {
        m: u32, n: u32, k: u32, k_chunk: u32,
        in_h: u32, in_w: u32, in_c: u32, out_h: u32, out_w: u32, out_c: u32,
        kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32,
        dilation_h: u32, dilation_w: u32, groups: u32,
    }
}

impl Tape {
    /// The cross-correlation of `input` [N, C, H, W] with `weight` [out, C/groups, kernel_h, kernel_w], plus `bias` [out].
    pub fn conv2d(
        &mut self,
        name: &str,
        input: TensorId,
        weight: TensorId,
        bias: Option<TensorId>,
        conv: Conv2d,
    ) -> Result<TensorId> {
        let operands: Vec<TensorId> = [input, weight].into_iter().chain(bias).collect();
        Ok(self.append(name, conv, &operands, &[])?[0])
    }
}

impl Conv2d {
    /// The output's extents for these of input and weight, both in PyTorch's order.
    fn output(&self, input: &Tensor, weight: &Shape) -> Result<[usize; 4], Misfit> {
        let [n, c, h, w] = nchw(input, "input")?;
        let Some([out, in_group, kh, kw]) = weight.nchw().filter(|_| !weight.is_empty()) else {
            return Err(Misfit::Shape(format!(
                "weight must be [out,in/groups,kernel_h,kernel_w] with no empty extent, it is {weight}"
            )));
        };
        positive("stride", self.stride)?;
        positive("dilation", self.dilation)?;
        if self.groups == 0 || c % self.groups != 0 || out % self.groups != 0 {
            return Err(Misfit::Attribute(format!(
                "groups {} must divide the {c} input and {out} output channels",
                self.groups
            )));
        }
        if c != in_group * self.groups {
            return Err(Misfit::Shape(format!(
                "input has {c} channels, weight expects {}; input {}, weight {weight}",
                in_group * self.groups,
                input.shape
            )));
        }
        let [top, bottom, left, right] = self.padding;
        let extent = |size, kernel, axis: usize, padding| {
            conv_output(size, kernel, self.stride[axis], padding, self.dilation[axis]).ok_or_else(|| {
                Misfit::Shape(format!(
                    "the dilated kernel is larger than the padded input; input {}, weight {weight}, {self:?}",
                    input.shape
                ))
            })
        };
        Ok([n, out, extent(h, kh, 0, top + bottom)?, extent(w, kw, 1, left + right)?])
    }

    fn params(&self, input: [u32; 4], weight: [u32; 4], output: [u32; 4]) -> Params {
        Params {
            in_h: input[2],
            in_w: input[3],
            in_c: input[1],
            out_h: output[2],
            out_w: output[3],
            out_c: output[1],
            kernel_h: weight[2],
            kernel_w: weight[3],
            stride_h: self.stride[0] as u32,
            stride_w: self.stride[1] as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[2] as u32,
            dilation_h: self.dilation[0] as u32,
            dilation_w: self.dilation[1] as u32,
            groups: self.groups as u32,
            ..Params::default()
        }
    }

    /// The variants for this weight and a result whose rows are all extents of `shape` but that of axis `columns`. Input,
    /// output and their gradients lie along channels, the weight along output channels.
    fn variants(&self, caps: &Caps, weight: &Shape, shape: &Shape, columns: usize) -> Vec<&'static str> {
        // The tiled products know one group.
        if self.groups != 1 {
            return if depthwise::is_valid(self, weight) { vec!["depthwise", "direct"] } else { vec!["direct"] };
        }
        let n = shape.dims()[columns];
        product::variants(caps, shape.len() / n, n, &weight.dims()[..2])
    }
}

/// The gradient of a bias that is added to every row of channels: the sum over batch and pixels.
pub(super) fn grad_bias(
    tape: &mut Tape,
    node: &Node,
    grad_output: TensorId,
    needs: &[bool],
) -> Result<Option<TensorId>> {
    if needs.get(2) != Some(&true) {
        return Ok(None);
    }
    tape.column_sum(&node.name, grad_output).map(Some)
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 3])?;
        let output = self.output(inputs[0], &inputs[1].shape)?;
        if let Some(bias) = inputs.get(2).filter(|bias| bias.shape.dims() != [output[1]]) {
            return Err(Misfit::Shape(format!(
                "bias must be [{}] for weight {}, it is {}",
                output[1], inputs[1].shape, bias.shape
            )));
        }
        Ok(vec![Spec::f32(output)])
    }

    fn gradient(
        &self,
        tape: &mut Tape,
        node: &Node,
        grad_outputs: &[Option<TensorId>],
        needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None; needs.len()]) };
        let (input, weight) = (node.inputs[0], node.inputs[1]);
        let mut grads = vec![None; needs.len()];
        if let Some(bias) = grads.get_mut(2) {
            *bias = grad_bias(tape, node, grad_output, needs)?;
        }
        if needs[1] {
            let op = Conv2dGradWeight { conv: *self, weight: tape.shape(weight).clone() };
            grads[1] = Some(tape.append(&node.name, op, &[input, grad_output], &[])?[0]);
        }
        if needs[0] {
            let op = Conv2dGradInput { conv: *self, input: tape.shape(input).clone() };
            grads[0] = Some(tape.append(&node.name, op, &[grad_output, weight], &[])?[0]);
        }
        Ok(grads)
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        let (weight, output) = (&inputs[1].shape, self.output(inputs[0], &inputs[1].shape));
        output.map_or(0, |[n, _, h, w]| (n * h * w) as u64 * weight.len() as u64)
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        match self.output(inputs[0], &inputs[1].shape) {
            Ok(output) => {
                let output = Shape::from(output);
                let variants = self.variants(caps, &inputs[1].shape, &output, 1);
                let params = self.params(extents(&inputs[0].shape), extents(&inputs[1].shape), extents(&output));
                few::among(variants, caps, &params)
            }
            Err(_) => vec!["direct"],
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, weight, output) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let mut params = self.params(input, weight, output);
        params.m = output[0] * output[2] * output[3];
        params.n = output[1];
        params.k = weight[1] * weight[2] * weight[3];
        params.k_chunk = params.k;
        match lowering.variant() {
            "depthwise" => {
                depthwise::forward(lowering, params);
                return Ok(());
            }
            "few" => {
                few::forward(lowering, params);
                return Ok(());
            }
            _ => {}
        }
        let bias = (lowering.inputs().len() == 3).then(|| lowering.input(2));
        let epilogue = product::epilogue(bias.is_some());
        let (input, weight, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let dispatch = match lowering.variant() {
            "direct" => {
                let files = [source!("conv2d_direct.wgsl"), source!("conv2d.wgsl"), epilogue];
                let kernel = direct("conv2d/direct", &files);
                let extent = Extent::Invocations(lowering.output_len(0));
                lowering.dispatch(kernel, bytes_of!(Params, &params), extent)
            }
            variant => {
                let tiling = Tiling::new(variant, params.m, params.n, params.k);
                let files = [source!("conv2d_product.wgsl"), source!("conv2d.wgsl"), epilogue];
                let kernel = tiling.kernel(
                    ["conv2d/workgroup", "conv2d/shuffle", "conv2d/vec4"],
                    &files,
                    params.in_c == 1 && self.padding != [0; 4],
                    [true, false],
                );
                lowering.dispatch(kernel, bytes_of!(Params, &params), tiling.extent())
            }
        };
        dispatch.bind("input", input).bind("weight", weight).bind("output", output);
        if let Some(bias) = bias {
            dispatch.bind("bias", bias);
        }
        Ok(())
    }
}

impl Operation for Conv2dGradInput {
    fn name(&self) -> &'static str {
        "conv2d_grad_input"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::f32(self.input.clone())])
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.conv.variants(caps, &inputs[1].shape, &self.input, 1)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (output, weight, input) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let mut params = self.conv.params(input, weight, output);
        params.m = input[0] * input[2] * input[3];
        params.n = input[1];
        params.k = weight[0] * weight[2] * weight[3];
        params.k_chunk = params.k;
        if lowering.variant() == "depthwise" {
            depthwise::grad_input(lowering, params);
            return Ok(());
        }
        let (grad_output, weight, grad_input) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let stride = self.conv.stride.map(|s| s as u32);
        let dispatch = match lowering.variant() {
            "direct" => {
                let files = [source!("conv2d_grad_input_direct.wgsl"), source!("conv2d.wgsl")];
                let kernel = direct("conv2d_grad_input/direct", &files);
                let extent = Extent::Invocations(lowering.output_len(0));
                lowering.dispatch(kernel, bytes_of!(Params, &params), extent)
            }
            variant => {
                let tiling = Tiling::new(variant, params.m, params.n, params.k);
                let files = [source!("conv2d_grad_input_product.wgsl"), source!("conv2d.wgsl")];
                let whole = params.in_h.is_multiple_of(stride[0]) && params.in_w.is_multiple_of(stride[1]);
                // The stride is a constant here: the kernel divides by it for every element that it loads.
                let kernel = tiling
                    .kernel(
                        ["conv2d_grad_input/workgroup", "conv2d_grad_input/shuffle", "conv2d_grad_input/vec4"],
                        &files,
                        false,
                        [true, true],
                    )
                    .constant("STRIDE_H", stride[0])
                    .constant("STRIDE_W", stride[1])
                    .flag("PHASES_FIRST", variant == "vec4" && whole && stride != [1; 2])
                    .flag("PIXELS_FIRST", variant == "shuffle");
                lowering.dispatch(kernel, bytes_of!(Params, &params), tiling.extent())
            }
        };
        dispatch.bind("grad_output", grad_output).bind("weight", weight).bind("grad_input", grad_input);
        Ok(())
    }
}

impl Operation for Conv2dGradWeight {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec { layout: Layout::Hwio, ..Spec::f32(self.weight.clone()) }])
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        let variants = self.conv.variants(caps, &self.weight, &self.weight, 0);
        let params = self.conv.params(extents(&inputs[0].shape), extents(&self.weight), extents(&inputs[1].shape));
        few::among(variants, caps, &params)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, output, weight) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let mut params = self.conv.params(input, weight, output);
        params.m = weight[1] * weight[2] * weight[3];
        params.n = weight[0];
        params.k = output[0] * output[2] * output[3];
        params.k_chunk = params.k;
        match lowering.variant() {
            "depthwise" => {
                depthwise::grad_weight(lowering, params);
                return Ok(());
            }
            "few" => {
                few::grad_weight(lowering, params);
                return Ok(());
            }
            _ => {}
        }
        let (input, grad_output, grad_weight) = (lowering.input(0), lowering.input(1), lowering.output(0));
        if lowering.variant() == "direct" {
            let files = [source!("conv2d_grad_weight_direct.wgsl"), source!("conv2d.wgsl")];
            let kernel = direct("conv2d_grad_weight/direct", &files);
            let extent = Extent::Invocations(lowering.output_len(0));
            lowering
                .dispatch(kernel, bytes_of!(Params, &params), extent)
                .bind("input", input)
                .bind("grad_output", grad_output)
                .bind("grad_weight", grad_weight);
            return Ok(());
        }
        let tiling = Tiling::new(lowering.variant(), params.m, params.n, params.k).split(lowering.caps());
        params.k_chunk = tiling.chunk;
        let partials = match tiling.splits {
            1 => grad_weight,
            splits => lowering.scratch(u64::from(splits * params.m * params.n) * 4),
        };
        let files = [source!("conv2d_grad_weight_product.wgsl"), source!("conv2d.wgsl")];
        let kernel = tiling.kernel(
            ["conv2d_grad_weight/workgroup", "conv2d_grad_weight/shuffle", "conv2d_grad_weight/vec4"],
            &files,
            self.conv.padding != [0; 4],
            [false, false],
        );
        lowering
            .dispatch(kernel, bytes_of!(Params, &params), tiling.extent())
            .bind("input", input)
            .bind("grad_output", grad_output)
            .bind("grad_weight", partials);
        if let Operand::Scratch(_) = partials {
            super::column_sum::sum_rows(lowering, partials, grad_weight, tiling.splits, params.m * params.n);
        }
        Ok(())
    }
}

/// The extents of a shape of four axes.
fn extents(shape: &Shape) -> [u32; 4] {
    shape.nchw().unwrap_or_default().map(|extent| extent as u32)
}

fn direct(name: &'static str, files: &[super::Source]) -> Kernel {
    Kernel::new(name, files).with(&[source!("lib/index.wgsl")]).elements(1).constant("WG", 64)
}
