//! conv2d (cross-correlation) with stride, padding, dilation and groups, and its gradients by input and weight.
//!
//! Each has several algorithms, one per file. The lists below give the order of preference.

mod depthwise;
mod direct;
mod few_channels;
mod params;
mod tiled;
mod twin;
mod winograd;

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Candidate, Caps, DeviceClass, Dispatch, Lowering, Make, Operand, Tensors, in_order};
use crate::ops::conv2d::params::Problem;
use crate::ops::conv2d::tiled::Product;
use crate::ops::product::column_sum::sum_rows;
use crate::ops::product::split_k::{self, Target};
use crate::ops::product::tiles::{self, Core};
use crate::ops::{arity, nchw, positive};
use crate::shape::{Layout, Shape, Window, conv_output};
use crate::tensor::{Spec, Tensor, TensorId};

/// Candidates of the forward pass in order of preference. Each decides for which convolutions it is right.
fn forward_order(class: DeviceClass) -> &'static [Make<Problem>] {
    match class {
        DeviceClass::Software => &[
            depthwise::forward,
            few_channels::forward, // fewest loads per result
            winograd::forward_where_it_wins,
            |of| direct::where_better_than_tiles(of, &Product::forward(of), direct::forward),
            |of| tiled::forward(&[Core::Subgroup8], of),
            |of| tiled::forward(tiles::GPU, of),
            winograd::forward,
            direct::forward,
        ],
        DeviceClass::Integrated | DeviceClass::Discrete => &[
            depthwise::forward,
            winograd::forward_where_it_wins,
            |of| direct::where_better_than_tiles(of, &Product::forward(of), direct::forward),
            |of| tiled::forward(tiles::GPU, of),
            winograd::forward,
            direct::forward,
            few_channels::forward, // not measured on a GPU
        ],
    }
}

/// Candidates of the gradient by the input in order of preference.
fn grad_input_order(class: DeviceClass) -> &'static [Make<Problem>] {
    match class {
        DeviceClass::Software => &[
            depthwise::grad_input,
            winograd::grad_input_where_it_wins,
            |of| direct::where_better_than_tiles(of, &Product::grad_input(of), direct::grad_input),
            |of| tiled::grad_input(&[Core::Subgroup8], of),
            |of| tiled::grad_input(tiles::GPU, of),
            winograd::grad_input,
            direct::grad_input,
        ],
        DeviceClass::Integrated | DeviceClass::Discrete => &[
            depthwise::grad_input,
            winograd::grad_input_where_it_wins,
            |of| direct::where_better_than_tiles(of, &Product::grad_input(of), direct::grad_input),
            |of| tiled::grad_input(tiles::GPU, of),
            winograd::grad_input,
            direct::grad_input,
        ],
    }
}

/// Candidates of the gradient by the weight in order of preference.
fn grad_weight_order(class: DeviceClass) -> &'static [Make<Problem>] {
    match class {
        DeviceClass::Software => &[
            depthwise::grad_weight,
            few_channels::grad_weight,
            |of| direct::where_better_than_tiles(of, &Product::grad_weight(of), direct::grad_weight),
            |of| tiled::grad_weight(&[Core::Subgroup8], of),
            |of| tiled::grad_weight(tiles::GPU, of),
            direct::grad_weight,
        ],
        // One invocation per weight would accumulate all pixels of the batch alone, while the rest of the card is idle.
        DeviceClass::Integrated | DeviceClass::Discrete => &[
            depthwise::grad_weight,
            |of| tiled::grad_weight(tiles::GPU, of),
            few_channels::grad_weight,
            direct::grad_weight,
        ],
    }
}

/// Attributes of a convolution; every pair is (height, width). Source: torch.nn.Conv2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dAttributes {
    /// Step from one window to the next.
    pub stride: [usize; 2],
    /// Rows or columns of zeros: top, bottom, left, right.
    pub padding: [usize; 4],
    /// Distance between the window's elements.
    pub dilation: [usize; 2],
    /// Number of separate convolutions that the channels are divided into. As many as input channels is depthwise.
    pub groups: usize,
}

impl Default for Conv2dAttributes {
    fn default() -> Self {
        Conv2dAttributes { stride: [1; 2], padding: [0; 4], dilation: [1; 2], groups: 1 }
    }
}

/// The gradient of [`Conv2dAttributes`] by its input: operands are grad_output and weight.
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2dAttributes,
    /// The shape of its input.
    pub input: Shape,
}

/// The gradient of [`Conv2dAttributes`] by its weight: operands are input and grad_output.
#[derive(Clone, Debug)]
pub struct Conv2dGradWeight {
    /// The convolution.
    pub conv: Conv2dAttributes,
    /// The shape of its weight.
    pub weight: Shape,
}

impl Tape {
    /// Appends the cross-correlation of `input` [N, C, H, W] with `weight` [out, C/groups, kernel_h, kernel_w], plus
    /// `bias` \[out\].
    pub fn conv2d(
        &mut self,
        name: &str,
        input: TensorId,
        weight: TensorId,
        bias: Option<TensorId>,
        conv: Conv2dAttributes,
    ) -> Result<TensorId> {
        let operands: Vec<TensorId> = [input, weight].into_iter().chain(bias).collect();
        Ok(self.append(name, conv, &operands, &[])?[0])
    }
}

impl Conv2dAttributes {
    /// The attributes as written in keys.
    fn key(&self, operation: &str) -> String {
        let Conv2dAttributes { stride, padding, dilation, groups } = self;
        let text = |extents: &[usize]| extents.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let (stride, padding, dilation) = (text(stride), text(padding), text(dilation));
        format!("{operation} stride={stride} padding={padding} dilation={dilation} groups={groups}")
    }

    /// Output extents for this input and weight, in PyTorch's order.
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
            let expected = in_group * self.groups;
            let message =
                format!("input has {c} channels, weight expects {expected}; input {}, weight {weight}", input.shape);
            return Err(Misfit::between(message, expected, c));
        }
        let [top, bottom, left, right] = self.padding;
        let extent = |size, kernel, axis: usize, padding| {
            conv_output(size, kernel, self.stride[axis], padding, self.dilation[axis]).map_err(|_| {
                Misfit::Shape(format!(
                    "the dilated kernel is larger than the padded input; input {}, weight {weight}, {self:?}",
                    input.shape
                ))
            })
        };
        Ok([n, out, extent(h, kh, 0, top + bottom)?, extent(w, kw, 1, left + right)?])
    }
}

/// Pushes a dispatch of the forward pass with its operands and epilogue. It stores its statistics in `partials`, if
/// given.
fn push_forward(lowering: &mut Lowering<'_>, dispatch: Dispatch, splits: u32, partials: Option<Operand>) {
    let epilogue = lowering.epilogue(0).bias(lowering.optional_input(2)).statistics(partials);
    let dispatch = dispatch.bind("input", lowering.input(0)).bind("weight", lowering.input(1));
    let target = Target { name: "output", len: lowering.output_len(0), columns: lowering.output_dims(0)[1] };
    split_k::push(lowering, dispatch, splits, target, &epilogue);
}

/// Pushes a dispatch of the gradient by the input with its operands and epilogue.
fn push_grad_input(lowering: &mut Lowering<'_>, dispatch: Dispatch, splits: u32) {
    let epilogue = lowering.epilogue(0);
    let dispatch = dispatch.bind("grad_output", lowering.input(0)).bind("weight", lowering.input(1));
    let target = Target { name: "grad_input", len: lowering.output_len(0), columns: lowering.output_dims(0)[1] };
    split_k::push(lowering, dispatch, splits, target, &epilogue);
}

/// Pushes a dispatch of the gradient by the weight, in which each of `parts` computes partial sums for all `weights`,
/// and the dispatch that adds them up.
fn push_grad_weight(lowering: &mut Lowering<'_>, dispatch: Dispatch, parts: u32, weights: u32) {
    let grad_weight = lowering.output(0);
    let sums = match parts {
        1 => grad_weight,
        _ => lowering.scratch(u64::from(parts) * u64::from(weights) * 4),
    };
    let dispatch =
        dispatch.bind("input", lowering.input(0)).bind("grad_output", lowering.input(1)).bind("grad_weight", sums);
    lowering.push(dispatch);
    if parts > 1 {
        sum_rows(lowering, sums, grad_weight, parts, weights);
    }
}

impl Operation for Conv2dAttributes {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 3])?;
        let output = self.output(inputs[0], &inputs[1].shape)?;
        if let Some(bias) = inputs.get(2).filter(|bias| bias.shape.dims() != [output[1]]) {
            let expected = Shape::from([output[1]]);
            let message = format!("bias must be {expected} for weight {}, it is {}", inputs[1].shape, bias.shape);
            return Err(Misfit::between(message, &expected, &bias.shape));
        }
        Ok(vec![Spec::f32(output)])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None; needs.len()]) };
        let (input, weight) = (node.inputs[0], node.inputs[1]);
        let mut grads = vec![None; needs.len()];
        if needs.get(2) == Some(&true) {
            grads[2] = Some(tape.column_sum(&node.name, grad_output)?);
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
        let output = self.output(inputs[0], &inputs[1].shape);
        output.map_or(0, |output| self.multiply_adds_of(&Shape::from(output), &inputs[1].shape))
    }

    fn window(&self, inputs: &[&Tensor]) -> Option<Window> {
        let [.., kernel_h, kernel_w] = inputs.get(1)?.shape.nchw()?;
        let Conv2dAttributes { stride, padding, dilation, .. } = *self;
        Some(Window { kernel: [kernel_h, kernel_w], stride, padding, dilation })
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn key(&self) -> Option<String> {
        Some(self.key("conv2d"))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let params = self.forward(tensors.input_dims(0), tensors.input_dims(1), tensors.output_dims(0));
        let problem = Problem { conv: *self, params, caps: caps.clone() };
        in_order(forward_order(caps.class), &problem)
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

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.conv.multiply_adds_of(&inputs[0].shape, &inputs[1].shape)
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn key(&self) -> Option<String> {
        Some(format!("{} input={}", self.conv.key("conv2d_grad_input"), self.input))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let params = self.conv.grad_input(tensors.output_dims(0), tensors.input_dims(1), tensors.input_dims(0));
        let problem = Problem { conv: self.conv, params, caps: caps.clone() };
        in_order(grad_input_order(caps.class), &problem)
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

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.conv.multiply_adds_of(&inputs[1].shape, &self.weight)
    }

    fn key(&self) -> Option<String> {
        Some(format!("{} weight={}", self.conv.key("conv2d_grad_weight"), self.weight))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let params = self.conv.grad_weight(tensors.input_dims(0), tensors.output_dims(0), tensors.input_dims(1));
        let problem = Problem { conv: self.conv, params, caps: caps.clone() };
        in_order(grad_weight_order(caps.class), &problem)
    }
}
