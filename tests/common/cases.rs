//! Random attribute sets of the operations, by seed, for gradient checks on the reference executor and for kernels on a
//! device; and numbers to fill tensors with.

use std::cell::Cell;

use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::matmul::Matmul;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::rng::{Init, Rng};
use tilegrad::shape::{conv_output, pool_output};

/// A convolution that its shape rule accepts.
#[derive(Clone, Debug)]
pub struct ConvCase {
    /// [N, C, H, W].
    pub input: [usize; 4],
    /// [out, C/groups, kernel_h, kernel_w].
    pub weight: [usize; 4],
    /// Its attributes.
    pub conv: Conv2dAttributes,
    /// Whether a bias [out] is added.
    pub bias: bool,
}

/// A max pooling that its shape rule accepts.
#[derive(Clone, Debug)]
pub struct MaxPoolCase {
    /// [N, C, H, W].
    pub input: [usize; 4],
    /// Its attributes.
    pub pool: MaxPool2dAttributes,
}

/// An average pooling that its shape rule accepts.
#[derive(Clone, Debug)]
pub struct AvgPoolCase {
    /// [N, C, H, W].
    pub input: [usize; 4],
    /// Its attributes.
    pub pool: AvgPool2dAttributes,
}

/// A matrix product.
#[derive(Clone, Debug)]
pub struct MatmulCase {
    /// The first operand as it lies in memory.
    pub a: [usize; 2],
    /// The second operand as it lies in memory.
    pub b: [usize; 2],
    /// The result.
    pub output: [usize; 2],
    /// Which operands are transposed.
    pub op: Matmul,
    /// Whether a bias [columns of the result] is added.
    pub bias: bool,
}

/// A cross-entropy, with at least one target that counts.
#[derive(Clone, Debug)]
pub struct CrossEntropyCase {
    /// [N, classes].
    pub logits: [usize; 2],
    /// [N], some of them ignored.
    pub targets: Vec<i32>,
    /// Whether there are class weights [classes].
    pub weighted: bool,
    /// Its attributes.
    pub op: SoftmaxCrossEntropy,
}

/// Numbers drawn one after the other from a stream that is addressed by index.
pub struct Draw {
    rng: Rng,
    next: Cell<u64>,
}

impl Draw {
    pub fn new(seed: u64, name: &str) -> Self {
        Draw { rng: Rng::new(seed, name), next: Cell::new(0) }
    }

    /// One of `low..=high`.
    pub fn between(&self, low: usize, high: usize) -> usize {
        let index = self.next.replace(self.next.get() + 1);
        low + self.rng.below(index, (high - low + 1) as u32) as usize
    }

    pub fn pair(&self, low: usize, high: usize) -> [usize; 2] {
        [self.between(low, high), self.between(low, high)]
    }

    pub fn coin(&self) -> bool {
        self.between(0, 1) == 1
    }
}

/// The convolution number `seed`: up to `max_channels` channels on either side, kernels up to `max_kernel`, stride and
/// dilation 1 to 3, padding 0 to 3 on each of the four sides; a third of them grouped, some of these depthwise.
pub fn conv_case(seed: u64, max_channels: usize, max_kernel: usize) -> ConvCase {
    let draw = Draw::new(seed, "conv case");
    let groups = match draw.between(0, 5) {
        0 => draw.between(1, max_channels),
        1 => draw.between(2, 3).min(max_channels),
        _ => 1,
    };
    let depthwise = groups > 1 && draw.coin();
    let per_group = max_channels / groups;
    let group_in = if depthwise { 1 } else { draw.between(1, per_group) };
    let group_out = draw.between(1, per_group);
    let (kernel, stride, dilation) = (draw.pair(1, max_kernel), draw.pair(1, 3), draw.pair(1, 3));
    // A kernel's padding is usually the same on both sides.
    let [top, left] = draw.pair(0, 3);
    let [bottom, right] = if draw.coin() { [top, left] } else { draw.pair(0, 3) };
    let extent = |axis: usize, padding: usize| {
        let span = dilation[axis] * (kernel[axis] - 1) + 1;
        span.saturating_sub(padding).max(1) + draw.between(0, 6)
    };
    let (h, w) = (extent(0, top + bottom), extent(1, left + right));
    let conv = Conv2dAttributes { stride, padding: [top, bottom, left, right], dilation, groups };
    assert!(conv_output(h, kernel[0], stride[0], top + bottom, dilation[0]).is_ok());
    assert!(conv_output(w, kernel[1], stride[1], left + right, dilation[1]).is_ok());
    ConvCase {
        input: [draw.between(1, 3), groups * group_in, h, w],
        weight: [groups * group_out, group_in, kernel[0], kernel[1]],
        conv,
        bias: draw.coin(),
    }
}

/// The depthwise convolution number `seed`, with up to `max_channels` channels.
pub fn depthwise_case(seed: u64, max_channels: usize, max_kernel: usize) -> ConvCase {
    let draw = Draw::new(seed, "depthwise case");
    let mut case = conv_case(seed, 1, max_kernel);
    let channels = draw.between(1, max_channels);
    case.conv.groups = channels;
    case.input[1] = channels;
    case.weight[0] = channels;
    case
}

/// The max pooling number `seed`; a dilated window may lie wholly in the padding, where its result is minus infinity.
pub fn max_pool_case(seed: u64, max_channels: usize, max_kernel: usize) -> MaxPoolCase {
    let draw = Draw::new(seed, "max pool case");
    let (kernel, stride, dilation) = (draw.pair(1, max_kernel), draw.pair(1, 3), draw.pair(1, 3));
    let padding = [draw.between(0, kernel[0] / 2), draw.between(0, kernel[1] / 2)];
    let pool = MaxPool2dAttributes { kernel, stride, padding, dilation, ceil_mode: draw.coin() };
    let extent = |axis| pooled_extent(&draw, kernel[axis], stride[axis], padding[axis], dilation[axis], pool.ceil_mode);
    let (h, w) = (extent(0), extent(1));
    MaxPoolCase { input: [draw.between(1, 3), draw.between(1, max_channels), h, w], pool }
}

/// The average pooling number `seed`.
pub fn avg_pool_case(seed: u64, max_channels: usize, max_kernel: usize) -> AvgPoolCase {
    let draw = Draw::new(seed, "avg pool case");
    let (kernel, stride) = (draw.pair(1, max_kernel), draw.pair(1, 3));
    let padding = [draw.between(0, kernel[0] / 2), draw.between(0, kernel[1] / 2)];
    let divisor_override = (draw.between(0, 3) == 0).then(|| draw.between(1, 7));
    let pool = AvgPool2dAttributes {
        kernel,
        stride,
        padding,
        ceil_mode: draw.coin(),
        count_include_pad: draw.coin(),
        divisor_override,
    };
    let extent = |axis| pooled_extent(&draw, kernel[axis], stride[axis], padding[axis], 1, pool.ceil_mode);
    let (h, w) = (extent(0), extent(1));
    AvgPoolCase { input: [draw.between(1, 3), draw.between(1, max_channels), h, w], pool }
}

/// An input extent with at least one window: from one that is hardly large enough to one with several windows.
fn pooled_extent(draw: &Draw, kernel: usize, stride: usize, padding: usize, dilation: usize, ceil_mode: bool) -> usize {
    let span = dilation * (kernel - 1) + 1;
    let first = span.saturating_sub(2 * padding + 1).max(1) + draw.between(0, 6);
    let valid = |&size: &usize| pool_output(size, kernel, stride, padding, dilation, ceil_mode).is_ok();
    (first..).find(valid).expect("a large input always has a window")
}

/// The matrix product number `seed`, with extents up to `max_extent`; four in a row are the four ways to transpose.
pub fn matmul_case(seed: u64, max_extent: usize) -> MatmulCase {
    let draw = Draw::new(seed, "matmul case");
    let op = Matmul { transpose_a: seed & 1 == 1, transpose_b: seed & 2 == 2 };
    let [m, n, k] = [(); 3].map(|()| draw.between(1, max_extent));
    MatmulCase {
        a: if op.transpose_a { [k, m] } else { [m, k] },
        b: if op.transpose_b { [n, k] } else { [k, n] },
        output: [m, n],
        op,
        bias: draw.coin(),
    }
}

/// The cross-entropy number `seed`, with up to `max_rows` rows and `max_classes` classes.
pub fn cross_entropy_case(seed: u64, max_rows: usize, max_classes: usize) -> CrossEntropyCase {
    let draw = Draw::new(seed, "cross entropy case");
    let (rows, classes) = (draw.between(1, max_rows), draw.between(2, max_classes));
    // An ignored target is a value that no class has, or one of the classes.
    let ignore_index = if draw.coin() { -100 } else { draw.between(0, classes - 1) as i32 };
    let mut targets: Vec<i32> = (0..rows)
        .map(|_| if draw.between(0, 3) == 0 { ignore_index } else { draw.between(0, classes - 1) as i32 })
        .collect();
    if targets.iter().all(|&target| target == ignore_index) {
        targets[0] = i32::from(ignore_index == 0);
    }
    let op = SoftmaxCrossEntropy {
        reduction: if draw.coin() { Reduction::Mean } else { Reduction::Sum },
        ignore_index,
        label_smoothing: [0.0, 0.1, 0.35, 1.0][draw.between(0, 3)],
    };
    CrossEntropyCase { logits: [rows, classes], targets, weighted: draw.coin(), op }
}

/// Numbers from U(-1, 1).
pub fn uniform(seed: u64, name: &str, len: usize) -> Vec<f32> {
    Init::Uniform(1.0).values(seed, name, len)
}

/// Numbers from -1 to 1 that keep `gap` away from 0.
pub fn away_from_zero(seed: u64, name: &str, len: usize, gap: f32) -> Vec<f32> {
    uniform(seed, name, len).into_iter().map(|x| x * (1.0 - gap) + gap.copysign(x)).collect()
}
