//! Kernels of a convolution with few input channels, such as the first layer of a network. It is too shallow for a
//! tiled product with vectors along the input channels; here vectors lie along the lines of input and output.

use super::params::{Params, Problem};
use super::{push_forward, push_grad_weight};
use crate::kernel::{Candidate, DeviceClass, Dispatch, Extent, Kernel, Source, source};

/// Maximum number of multiply-adds of one piece, which are unrolled. With more of them drivers take seconds to compile.
const LONGEST: u32 = 1200;
/// Maximum number of vectors of an input line that an invocation holds. Drivers unroll no longer loops.
const LOADS: u32 = 32;
/// Maximum number of kernel rows, for which the shaders have calls.
const ROWS: u32 = 7;
/// Number of neighbouring pixels of a piece. With more, fewer output lines would be whole pieces.
const PIXELS: u32 = 4;

/// The part of a result that one invocation computes at a time.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Number of output channels.
    block: u32,
    /// Number of elements loaded before the first window, so that loads start at a whole vector.
    shift: u32,
    /// Number of vectors loaded from an input line.
    loads: u32,
}

impl Piece {
    /// The piece for the convolution; `None` if the kernels are not right for it.
    fn new(params: &Params) -> Option<Piece> {
        let whole =
            params.groups == 1 && (params.in_w * params.in_c).is_multiple_of(4) && params.out_w.is_multiple_of(PIXELS);
        let weights = params.kernel_h * params.kernel_w * params.in_c;
        if !whole || params.in_c > 4 || params.kernel_h > ROWS {
            return None;
        }
        let block = match params.out_c {
            few @ ..=8 => few,
            n if n.is_multiple_of(8) && weights * 8 * PIXELS <= LONGEST => 8,
            n if n.is_multiple_of(4) => 4,
            _ => return None,
        };
        let shift = params.pad_left.wrapping_mul(params.in_c).wrapping_neg() % 4;
        let span = ((PIXELS - 1) * params.stride_w + (params.kernel_w - 1) * params.dilation_w + 1) * params.in_c;
        let loads = (shift + span).div_ceil(4);
        (weights * block * PIXELS <= LONGEST && loads <= LOADS).then_some(Piece { block, shift, loads })
    }

    /// Creates a kernel from its own file and the shared one.
    fn kernel(&self, name: &'static str, [file, entry]: [Source; 2], params: &Params) -> Kernel {
        let files = [file, source!("conv2d/few_channels_line.wgsl"), source!("lib/divide.wgsl"), entry];
        Kernel::new(name, &files)
            .constant("WG", 32)
            .constant("KERNEL_H", params.kernel_h)
            .constant("TAPS", params.kernel_w * params.in_c)
            .constant("STRIDE_W", params.stride_w)
            .constant("DILATION_W", params.dilation_w)
            .constant("IN_C", params.in_c)
            .constant("BLOCK", self.block)
            .constant("BLOCKS", self.blocks(params))
            .constant("PIXELS", PIXELS)
            .constant("LOADS", self.loads)
            .constant("SHIFT", self.shift)
            .constant("LEFT", params.pad_left.saturating_mul(params.in_c).div_ceil(4))
    }

    /// Number of pieces of a result per invocation, and number of chunks of that many pieces, for about `wanted`
    /// invocations. Both depend on the shape and the device class alone, so the order of a sum over chunks is fixed.
    fn chunks(&self, params: &Params, pixels: u32, wanted: u32) -> (u32, u32) {
        let pieces = pixels / PIXELS;
        let each = pieces.div_ceil((wanted / self.blocks(params)).max(1)).max(1);
        (each, pieces.div_ceil(each))
    }

    fn blocks(&self, params: &Params) -> u32 {
        params.out_c / self.block
    }
}

/// Computes output from input, weight and, if there are three operands, bias.
pub(super) fn forward(of: &Problem) -> Vec<Candidate<'static>> {
    let params = of.params;
    let Some(piece) = Piece::new(&params) else { return Vec::new() };
    vec![Candidate::new("few_channels", move |lowering| {
        let kernel = piece
            .kernel(
                "conv2d/few_channels",
                [source!("conv2d/few_channels.wgsl"), source!("lib/workgroup.wgsl")],
                &params,
            )
            .parts(if piece.block.is_multiple_of(4) { 4 } else { 1 });
        // On a software device few enough that loading the weights costs little.
        let wanted = match lowering.caps().class {
            DeviceClass::Software => 1 << 10,
            DeviceClass::Integrated => 1 << 14,
            DeviceClass::Discrete => 1 << 16,
        };
        let (each, chunks) = piece.chunks(&params, params.m, wanted);
        let params = Params { k_chunk: each, ..params };
        let extent = Extent::Invocations(u64::from(chunks) * u64::from(piece.blocks(&params)));
        // The four pixels of a piece are computed side by side.
        push_forward(lowering, Dispatch::new(kernel, &params, extent).k_places(each * params.k), 1, None);
        Ok(())
    })]
}

/// Computes grad_weight from input and grad_output; `params.k` counts pixels.
pub(super) fn grad_weight(of: &Problem) -> Vec<Candidate<'static>> {
    let params = of.params;
    let Some(piece) = Piece::new(&params) else { return Vec::new() };
    vec![Candidate::new("few_channels", move |lowering| {
        let files = [source!("conv2d/grad_weight_few_channels.wgsl"), source!("lib/each.wgsl")];
        let kernel = piece.kernel("conv2d_grad_weight/few_channels", files, &params);
        // The sums of every chunk are stored and added up in another dispatch.
        let wanted = match lowering.caps().class {
            DeviceClass::Software => 1 << 8,
            DeviceClass::Integrated => 1 << 11,
            DeviceClass::Discrete => 1 << 13,
        };
        let weights = params.m * params.n;
        // All of them must fit into one binding.
        let most = lowering.caps().max_binding / (u64::from(weights) * 4);
        let wanted = wanted.min(most.min(1 << 13) as u32 * piece.blocks(&params));
        let (each, chunks) = piece.chunks(&params, params.k, wanted);
        let params = Params { k_chunk: each, ..params };
        let extent = Extent::Invocations(u64::from(chunks) * u64::from(piece.blocks(&params)));
        let dispatch = Dispatch::new(kernel, &params, extent).k_places(each * PIXELS);
        push_grad_weight(lowering, dispatch, chunks, weights);
        Ok(())
    })]
}
