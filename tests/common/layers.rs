//! Random attribute sets of batch_norm2d, dropout and adaptive_avg_pool2d, by seed.

use tilegrad::graph::{Spec, Tape, TensorId};
use tilegrad::ops::batch_norm2d::{BatchNorm2dAttributes, Running};
use tilegrad::shape::{DType, Layout};

use crate::common::cases::{ConvCase, Draw};

/// A batch norm that its shape rule accepts.
#[derive(Clone, Debug)]
pub struct BatchNormCase {
    /// [N, C, H, W].
    pub input: [usize; 4],
    /// Its attributes.
    pub op: BatchNorm2dAttributes,
    /// Whether there are weight and bias.
    pub affine: bool,
    /// Whether the statistics are the batch's.
    pub training: bool,
}

/// The batch norm number `seed`.
pub fn batch_norm_case(seed: u64, max_channels: usize) -> BatchNormCase {
    let draw = Draw::new(seed, "batch norm case");
    let mut input = [draw.between(1, 4), draw.between(1, max_channels), draw.between(1, 9), draw.between(1, 9)];
    let training = draw.between(0, 2) > 0;
    // Few values leave a variance that may be near 0, where rounding is magnified.
    if input[0] * input[2] * input[3] < 6 {
        input[3] += 6;
    }
    let momentum = [None, Some(0.1), Some(0.7), Some(1.0), Some(0.0)][draw.between(0, 4)];
    let op = BatchNorm2dAttributes { eps: [1e-5, 1e-3, 0.1][draw.between(0, 2)], momentum };
    BatchNormCase { input, op, affine: draw.coin(), training }
}

impl BatchNormCase {
    /// Appends it to a tape for training or evaluation, with running statistics that start at 0.25 and 1.5.
    pub fn append(
        &self,
        tape: &mut Tape,
        input: TensorId,
        affine: Option<(TensorId, TensorId)>,
    ) -> (TensorId, Running) {
        let channels = self.input[1];
        let running = Running {
            mean: tape.buffer("running_mean", [channels], DType::F32, 0.25).unwrap(),
            var: tape.buffer("running_var", [channels], DType::F32, 1.5).unwrap(),
            batches: tape.buffer("num_batches_tracked", [1], DType::I32, 2.0).unwrap(),
        };
        (tape.batch_norm2d("norm", input, affine, running, self.op).unwrap(), running)
    }
}

/// Appends a convolution of "input" with "weight" and the batch norm after it.
pub fn normalised_conv(tape: &mut Tape, case: &ConvCase) -> (TensorId, Running) {
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let weight = tape.input("weight", Spec { layout: Layout::Hwio, ..Spec::f32(case.weight) }).unwrap();
    let output = tape.conv2d("conv", input, weight, None, case.conv).unwrap();
    let shape = tape.shape(output).nchw().unwrap();
    let norm = BatchNormCase { input: shape, op: BatchNorm2dAttributes::default(), affine: false, training: true };
    norm.append(tape, output, None)
}

/// Input [N, C, H, W] and output size of the adaptive average pooling number `seed`.
pub fn adaptive_case(seed: u64, max_channels: usize) -> ([usize; 4], [usize; 2]) {
    let draw = Draw::new(seed, "adaptive case");
    let input = [draw.between(1, 3), draw.between(1, max_channels), draw.between(1, 13), draw.between(1, 13)];
    // Outputs larger than the input are allowed.
    (input, if draw.between(0, 5) == 0 { [1, 1] } else { draw.pair(1, 9) })
}

/// Shape and probability of the dropout number `seed`.
pub fn dropout_case(seed: u64) -> (Vec<usize>, f64) {
    let draw = Draw::new(seed, "dropout case");
    let p = [0.0, 0.1, 0.5, 0.9, 1.0][draw.between(0, 4)];
    match draw.coin() {
        true => (vec![draw.between(1, 9), draw.between(1, 40)], p),
        false => (vec![draw.between(1, 3), draw.between(1, 9), draw.between(1, 7), draw.between(1, 7)], p),
    }
}
