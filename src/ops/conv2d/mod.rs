//! conv2d (cross-correlation) with stride, padding, dilation and groups, and its three gradients.

mod depthwise;
mod few_channels;
mod params;
mod twin;
mod winograd;

use crate::error::Result;
use crate::graph::{Misfit, Node, Operation, Tape};
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, Kernel, Lowering, Operand, Source, source};
use crate::ops::batch_norm2d::partial_statistics;
use crate::ops::conv2d::params::{Params, extents};
use crate::ops::product::tiles::{self, Extents, Operands, Tiling};
use crate::ops::{arity, nchw, positive};
use crate::shape::{Layout, Shape, conv_output};
use crate::tensor::{Spec, Tensor, TensorId};

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

    /// The variants for this weight and product.
    fn variants(&self, caps: &Caps, weight: &Shape, of: &Extents) -> Vec<&'static str> {
        // The tiled products know one group.
        if self.groups != 1 {
            return if depthwise::is_valid(self, weight) { vec!["depthwise", "direct"] } else { vec!["direct"] };
        }
        tiles::variants(caps, of)
    }

    /// The product that the forward pass is.
    fn tiled(&self, inputs: &[&Tensor]) -> Option<Extents> {
        let [input, weight] = [&inputs[0].shape, &inputs[1].shape];
        let output = Shape::from(self.output(inputs[0], weight).ok()?);
        Some(self.forward(extents(input), extents(weight), extents(&output)).tiled())
    }

    /// The dispatches of the forward pass, and where `partials` are wanted, those of the output's partial statistics: the
    /// tiled products make them on the way.
    pub(crate) fn lower_forward(&self, lowering: &mut Lowering<'_>, partials: Option<Operand>) {
        let (input, weight, output) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let params = self.forward(input, weight, output);
        match lowering.variant() {
            "depthwise" => depthwise::forward(lowering, params),
            "few" => few_channels::forward(lowering, params),
            "winograd" => winograd::forward(lowering, &params),
            "direct" => {
                let files = [source!("conv2d/direct.wgsl")];
                let extent = Extent::Invocations(lowering.output_len(0));
                lowering.push(dispatch_forward(lowering, &params, direct("conv2d/direct", &files), extent));
            }
            _ => {
                let mut tiling = Tiling::new(lowering, &params.tiled());
                tiling.statistics = partials.is_some();
                let files = [source!("conv2d/tiled.wgsl")];
                // Channels that are no whole vectors make short runs; those of a line of taps may lie in a row too.
                let taps = params.in_c == 1 || (self.dilation[1] == 1 && !params.in_c.is_multiple_of(4));
                let run = if taps { params.kernel_w * params.in_c } else { params.in_c };
                let operands = Operands {
                    lines: taps && self.pads_lines(),
                    along_k: [true, false],
                    whole_runs: run.is_multiple_of(4),
                    widths: [params.in_c, params.out_c, params.out_c].map(|run| tiles::width(&[run])),
                };
                let kernel = tiling.kernel(["conv2d/workgroup", "conv2d/vec4"], &files, &operands).flag("TAPS", taps);
                let dispatch = dispatch_forward(lowering, &params, kernel, tiling.extent());
                lowering.push(dispatch.bind_all(partials.map(|partials| ("partials", partials))));
                return;
            }
        }
        if let Some(partials) = partials {
            let result = lowering.output(0);
            partial_statistics(lowering, output, result, partials);
        }
    }
}

/// A dispatch of the forward pass with its operands, the bias and what finishes the output.
fn dispatch_forward(lowering: &Lowering<'_>, params: &Params, kernel: Kernel, extent: Extent) -> Dispatch {
    let bias = (lowering.inputs().len() == 3).then(|| lowering.input(2));
    let finishing = lowering.finishing(0);
    let (input, weight, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
    let kernel = kernel.with(&[tiles::epilogue(bias.is_some())]).with(&finishing.files);
    let dispatch = Dispatch::new(kernel, params, extent).k_places(params.k);
    let dispatch = dispatch.bind("input", input).bind("weight", weight).bind("output", output);
    finishing.bind(dispatch.bind_all(bias.map(|bias| ("bias", bias))))
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

    fn finishes(&self) -> bool {
        true
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        match (self.tiled(inputs), self.output(inputs[0], &inputs[1].shape)) {
            (Some(product), Ok(output)) => {
                let variants = self.variants(caps, &inputs[1].shape, &product);
                let [input, weight] = [0, 1].map(|i| extents(&inputs[i].shape));
                let params = self.forward(input, weight, extents(&Shape::from(output)));
                few_channels::among(winograd::among_forward(variants, caps, self, &params), caps, &params)
            }
            _ => vec!["direct"],
        }
    }

    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.tiled(inputs).map_or_else(Vec::new, |product| tiles::tiles(variant, caps, &product))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.lower_forward(lowering, None);
        Ok(())
    }
}

impl Conv2dGradInput {
    /// Whether it is worth it that a tile holds one pixel of many images, so that taps beside the output are skipped: there
    /// are images enough for a tile, and an eighth of all taps lie there.
    fn skips_taps(&self, of: &Params) -> bool {
        // How many of an axis's taps meet an output, over all its elements; with a stride rows are better ordered by phase.
        let meet = |input: u32, output: u32, kernel: u32, pad: u32, dilation: u32| -> i64 {
            let [input, output, pad, dilation] = [input, output, pad, dilation].map(i64::from);
            let outputs = |tap: i64| (input + pad - tap * dilation).min(output) - (pad - tap * dilation).max(0);
            (0..i64::from(kernel)).map(|tap| outputs(tap).max(0)).sum()
        };
        let met = meet(of.in_h, of.out_h, of.kernel_h, of.pad_top, of.dilation_h)
            * meet(of.in_w, of.out_w, of.kernel_w, of.pad_left, of.dilation_w);
        let all = i64::from(of.in_h * of.in_w) * i64::from(of.kernel_h * of.kernel_w);
        self.conv.stride == [1; 2] && self.input.dims()[0] >= 32 && 8 * met <= 7 * all
    }

    fn tiled(&self, inputs: &[&Tensor]) -> Option<Extents> {
        let [output, weight] = [&inputs[0].shape, &inputs[1].shape];
        Some(self.conv.grad_input(extents(&self.input), extents(weight), extents(output)).tiled())
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

    fn finishes(&self) -> bool {
        true
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.conv.multiply_adds_of(&inputs[0].shape, &inputs[1].shape)
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        match self.tiled(inputs) {
            Some(product) => {
                let variants = self.conv.variants(caps, &inputs[1].shape, &product);
                let [output, weight] = [0, 1].map(|i| extents(&inputs[i].shape));
                let params = self.conv.grad_input(extents(&self.input), weight, output);
                winograd::among_grad_input(variants, caps, &self.conv, &params)
            }
            None => vec!["direct"],
        }
    }

    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.tiled(inputs).map_or_else(Vec::new, |product| tiles::tiles(variant, caps, &product))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (output, weight, input) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let params = self.conv.grad_input(input, weight, output);
        match lowering.variant() {
            "depthwise" => {
                depthwise::grad_input(lowering, params);
                return Ok(());
            }
            "winograd" => {
                winograd::grad_input(lowering, &params);
                return Ok(());
            }
            _ => {}
        }
        let (grad_output, weight, grad_input) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let stride = self.conv.stride.map(|s| s as u32);
        let finishing = lowering.finishing(0);
        let dispatch = match lowering.variant() {
            "direct" => {
                let files = [source!("conv2d/grad_input_direct.wgsl")];
                let kernel = direct("conv2d_grad_input/direct", &files).with(&finishing.files);
                let extent = Extent::Invocations(lowering.output_len(0));
                Dispatch::new(kernel, &params, extent)
            }
            variant => {
                let tiling = Tiling::new(lowering, &params.tiled());
                let files = [source!("conv2d/grad_input_tiled.wgsl")];
                let whole = params.in_h.is_multiple_of(stride[0]) && params.in_w.is_multiple_of(stride[1]);
                // The stride is a constant here: the kernel divides by it for every element that it loads.
                let operands = Operands {
                    lines: false,
                    along_k: [true, true],
                    whole_runs: params.out_c.is_multiple_of(4),
                    widths: [params.out_c, params.out_c, params.in_c].map(|run| tiles::width(&[run])),
                };
                let eights = variant == "vec4";
                let kernel = tiling
                    .kernel(["conv2d_grad_input/workgroup", "conv2d_grad_input/vec4"], &files, &operands)
                    .constant("STRIDE_H", stride[0])
                    .constant("STRIDE_W", stride[1])
                    .flag("PHASES_FIRST", eights && whole && stride != [1; 2])
                    .flag("PIXELS_FIRST", eights && self.skips_taps(&params))
                    .with(&finishing.files);
                Dispatch::new(kernel, &params, tiling.extent())
            }
        };
        let dispatch = dispatch.k_places(params.k / params.groups);
        let dispatch = dispatch.bind("grad_output", grad_output).bind("weight", weight).bind("grad_input", grad_input);
        lowering.push(finishing.bind(dispatch));
        Ok(())
    }
}

impl Conv2dGradWeight {
    fn tiled(&self, inputs: &[&Tensor]) -> Option<Extents> {
        let [input, output] = [&inputs[0].shape, &inputs[1].shape];
        Some(self.conv.grad_weight(extents(input), extents(&self.weight), extents(output)).tiled().split())
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

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        match self.tiled(inputs) {
            Some(product) => {
                let variants = self.conv.variants(caps, &self.weight, &product);
                let [input, output] = [0, 1].map(|i| extents(&inputs[i].shape));
                let params = self.conv.grad_weight(input, extents(&self.weight), output);
                let mut variants = few_channels::among(variants, caps, &params);
                if caps.class != DeviceClass::Software {
                    // One invocation a weight would add up all pixels of the batch alone, on a card that is idle otherwise.
                    variants.sort_by_key(|&variant| variant == "direct");
                }
                variants
            }
            None => vec!["direct"],
        }
    }

    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.tiled(inputs).map_or_else(Vec::new, |product| tiles::tiles(variant, caps, &product))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, output, weight) = (lowering.input_dims(0), lowering.input_dims(1), lowering.output_dims(0));
        let mut params = self.conv.grad_weight(input, weight, output);
        match lowering.variant() {
            "depthwise" => {
                depthwise::grad_weight(lowering, params);
                return Ok(());
            }
            "few" => {
                few_channels::grad_weight(lowering, params);
                return Ok(());
            }
            _ => {}
        }
        let (input, grad_output, grad_weight) = (lowering.input(0), lowering.input(1), lowering.output(0));
        if lowering.variant() == "direct" {
            let files = [source!("conv2d/grad_weight_direct.wgsl")];
            let kernel = direct("conv2d_grad_weight/direct", &files);
            let extent = Extent::Invocations(lowering.output_len(0));
            lowering.push(
                Dispatch::new(kernel, &params, extent)
                    .k_places(params.k)
                    .bind("input", input)
                    .bind("grad_output", grad_output)
                    .bind("grad_weight", grad_weight),
            );
            return Ok(());
        }
        let tiling = Tiling::new(lowering, &params.tiled().split());
        params.k_chunk = tiling.chunk;
        let partials = match tiling.splits {
            1 => grad_weight,
            splits => lowering.scratch(u64::from(splits * params.m * params.n) * 4),
        };
        let files = [source!("conv2d/grad_weight_tiled.wgsl")];
        let operands = Operands {
            lines: self.conv.pads_lines(),
            along_k: [false, false],
            whole_runs: params.out_w.is_multiple_of(4),
            widths: [params.in_c, params.out_c, params.out_c].map(|run| tiles::width(&[run])),
        };
        let names = ["conv2d_grad_weight/workgroup", "conv2d_grad_weight/vec4"];
        let kernel = tiling.kernel(names, &files, &operands);
        lowering.push(
            Dispatch::new(kernel, &params, tiling.extent())
                .k_places(params.k_chunk)
                .bind("input", input)
                .bind("grad_output", grad_output)
                .bind("grad_weight", partials),
        );
        if let Operand::Scratch(_) = partials {
            super::column_sum::sum_rows(lowering, partials, grad_weight, tiling.splits, params.m * params.n);
        }
        Ok(())
    }
}

fn direct(name: &'static str, files: &[Source]) -> Kernel {
    Kernel::new(name, files).with(&[source!("lib/each.wgsl")]).elements(1).constant("WG", 64)
}
