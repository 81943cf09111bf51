//! Params of a convolution's kernels, and the matrix products that its three passes are.

use crate::kernel::Caps;
use crate::ops::conv2d::Conv2dAttributes;

use crate::params;
use crate::shape::Shape;

params! {
    /// Extents and attributes of a convolution and of its product: rows m, columns n, and k products per sum, of which
    /// a split takes k_chunk.
    ///
    /// A tiled product has separate params. It computes `products` products of m by n, in which a tap has `channels`
    /// positions of the K dimension. Each product is split into `splits`, whose partial sums are split_step apart.
    /// Along an axis the taps of one phase of the stride are step apart and meet outputs next apart; inverse gives a
    /// phase's first tap.
    ///
    /// Memory: input [batch, in_h, in_w, in_c], output [batch, out_h, out_w, out_c], weight
    /// [kernel_h, kernel_w, in_c / groups, out_c]; their gradients alike.
    pub(crate) struct Params {
        m: u32, n: u32, k: u32, k_chunk: u32,
        in_h: u32, in_w: u32, in_c: u32, out_h: u32, out_w: u32, out_c: u32,
        kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32,
        dilation_h: u32, dilation_w: u32, groups: u32,
        channels: u32, products: u32, splits: u32, split_step: u32,
        step_h: u32, step_w: u32, inverse_h: u32, inverse_w: u32, next_h: u32, next_w: u32,
    }
}

/// A convolution or one of its gradients, as described to its candidates.
pub(crate) struct Problem {
    pub conv: Conv2dAttributes,
    pub params: Params,
    pub caps: Caps,
}

impl Conv2dAttributes {
    /// Number of multiply-adds of each of the three passes: every weight meets every pixel of the output once. Those
    /// with the padding count too, although kernels may skip them.
    pub(crate) fn multiply_adds_of(&self, output: &Shape, weight: &Shape) -> u64 {
        output.nchw().map_or(0, |[n, _, h, w]| (n * h * w) as u64 * weight.len() as u64)
    }

    /// Params of the kernels. A pointwise convolution, whose output pixels each read the input pixel in the same place,
    /// is passed as a single image with a single line, since it is a plain matrix product.
    fn params(&self, mut input: [u32; 4], weight: [u32; 4], mut output: [u32; 4], [m, n, k]: [u32; 3]) -> Params {
        if weight[2..] == [1; 2] && self.stride == [1; 2] && self.padding == [0; 4] {
            let pixels = output[0] * output[2] * output[3];
            input = [1, input[1], 1, pixels];
            output = [1, output[1], 1, pixels];
        }
        Params {
            m,
            n,
            k,
            k_chunk: k,
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
            products: 1,
            splits: 1,
            ..Params::default()
        }
    }

    pub(crate) fn forward(&self, input: [u32; 4], weight: [u32; 4], output: [u32; 4]) -> Params {
        let product = [output[0] * output[2] * output[3], output[1], weight[1] * weight[2] * weight[3]];
        self.params(input, weight, output, product)
    }

    pub(crate) fn grad_input(&self, input: [u32; 4], weight: [u32; 4], output: [u32; 4]) -> Params {
        let product = [input[0] * input[2] * input[3], input[1], weight[0] * weight[2] * weight[3]];
        self.params(input, weight, output, product)
    }

    pub(crate) fn grad_weight(&self, input: [u32; 4], weight: [u32; 4], output: [u32; 4]) -> Params {
        let product = [weight[1] * weight[2] * weight[3], weight[0], output[0] * output[2] * output[3]];
        self.params(input, weight, output, product)
    }

    /// True if a line of the input has zeros beside it.
    pub(crate) fn pads_lines(&self) -> bool {
        self.padding[2..] != [0; 2]
    }
}
