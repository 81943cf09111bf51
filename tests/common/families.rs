//! Random cases of the operations beside convolution and pooling: each is a tape of one operation with its operands, for
//! gradient checks on the reference executor, for kernels on a device and for the zoo.

use tilegrad::graph::{Spec, Tape, TensorId};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::softmax_cross_entropy::Reduction;
use tilegrad::shape::Shape;
use tilegrad::twin::Value;

use crate::common::cases::{Draw, away_from_zero, uniform};

/// How far a device's result may lie from the twin's.
#[allow(dead_code, reason = "checks of gradients in f64 have one tolerance for all")]
#[derive(Clone, Copy, Debug)]
pub enum Near {
    /// Not at all.
    Exact,
    /// As a sum of so many products may.
    Sum(usize),
    /// So many roundings of the larger of the result and 1.
    Rounding(f64),
}

/// The names of the operands of a case; none has more.
pub const NAMES: [&str; 5] = ["operand0", "operand1", "operand2", "operand3", "operand4"];

/// An operand of a case.
pub struct Operand {
    /// Shape, layout and type.
    pub spec: Spec,
    /// What is in it.
    pub value: Value<f32>,
    /// Whether it has a gradient.
    pub wanted: bool,
}

/// Appends an operation of these operands.
pub type Build = Box<dyn Fn(&mut Tape, &[TensorId]) -> TensorId>;

/// An operation by its name in failures, and its case number so and so.
pub type Family = (&'static str, fn(u64) -> OpCase);

/// One operation on operands.
pub struct OpCase {
    /// What a failure prints.
    pub label: String,
    /// The operands.
    pub operands: Vec<Operand>,
    /// Appends the operation.
    pub build: Build,
    /// How near the output must be, and the gradients.
    #[allow(dead_code, reason = "as above")]
    pub near: [Near; 2],
}

/// Gives the names of all families to the macro `then`: a name here is an operation in the zoo, in the kernels' tests and in the
/// gradients', each of which makes a test of it.
macro_rules! for_each_family {
    ($then:ident) => {
        $then! { arithmetic, activation, concat, narrow, reduce, zero_pad2d, upsample, mse_loss, log_softmax, nll_loss }
    };
}
#[allow(unused_imports, reason = "a binary that only looks at kernels makes no test for each")]
pub(crate) use for_each_family;

macro_rules! table {
    ($($name:ident),*) => {
        /// Every operation.
        pub const FAMILIES: &[Family] = &[$((stringify!($name), $name)),*];
    };
}
for_each_family!(table);

/// A number of channels, often one that divides by 4.
fn channels(draw: &Draw) -> usize {
    if draw.coin() { 4 * draw.between(1, 3) } else { draw.between(1, 11) }
}

/// [N, C, H, W] or, unless `images` are asked for, as often [N, C].
fn shape(draw: &Draw, images: bool) -> Vec<usize> {
    let mut dims = vec![draw.between(1, 4), channels(draw)];
    if images || draw.coin() {
        dims.extend([draw.between(1, 7), draw.between(1, 7)]);
    }
    dims
}

fn spec(dims: &[usize]) -> Spec {
    Spec::f32(Shape::new(dims))
}

/// An operand of this shape with values of U(-1, 1).
fn real(seed: u64, name: &str, dims: &[usize]) -> Operand {
    let spec = spec(dims);
    let value = Value::Real(uniform(seed, name, spec.shape.len()));
    Operand { spec, value, wanted: true }
}

fn case(
    label: String,
    operands: Vec<Operand>,
    near: [Near; 2],
    build: impl Fn(&mut Tape, &[TensorId]) -> TensorId + 'static,
) -> OpCase {
    OpCase { label, operands, build: Box::new(build), near }
}

/// mul or sub, then scale; now and then of a tensor with itself.
pub fn arithmetic(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "arithmetic case");
    let (dims, mul, same) = (shape(&draw, false), draw.coin(), draw.between(0, 4) == 0);
    let factor = [0.5, -3.0, 1.7, 0.0][draw.between(0, 3)];
    let mut operands = vec![real(seed, "a", &dims)];
    if !same {
        operands.push(real(seed, "b", &dims));
    }
    let label = format!("seed {seed}: {}, scale {factor} of {dims:?}, same {same}", if mul { "mul" } else { "sub" });
    case(label, operands, [Near::Rounding(8.0); 2], move |tape, ids| {
        let b = *ids.last().unwrap();
        let y = if mul { tape.mul("mul", ids[0], b) } else { tape.sub("sub", ids[0], b) };
        tape.scale("scale", y.unwrap(), factor).unwrap()
    })
}

/// leaky_relu, gelu or silu, of numbers up to 4 or so that are not near 0.
pub fn activation(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "activation case");
    let dims = shape(&draw, false);
    let activation = match draw.between(0, 4) {
        0 => Activation::LEAKY_RELU,
        1 => Activation::LeakyRelu { negative_slope: -0.5 + 0.25 * draw.between(0, 8) as f32 },
        2 => Activation::Gelu(Approximate::None),
        3 => Activation::Gelu(Approximate::Tanh),
        _ => Activation::Silu,
    };
    let mut operand = real(seed, "input", &dims);
    let values = away_from_zero(seed, "input", operand.spec.shape.len(), 0.01);
    operand.value = Value::Real(values.into_iter().map(|x| 4.0 * x).collect());
    case(
        format!("seed {seed}: {activation:?} of {dims:?}"),
        vec![operand],
        [Near::Rounding(8.0); 2],
        move |tape, ids| tape.activation("activation", activation, ids[0]).unwrap(),
    )
}

/// One to four operands.
pub fn concat(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "concat case");
    let mut dims = shape(&draw, false);
    let aligned = draw.coin();
    let shapes: Vec<Vec<usize>> = (0..draw.between(1, 4))
        .map(|_| {
            dims[1] = if aligned { 4 * draw.between(1, 3) } else { channels(&draw) };
            dims.clone()
        })
        .collect();
    let operands = shapes.iter().enumerate().map(|(i, dims)| real(seed, NAMES[i], dims)).collect();
    case(format!("seed {seed}: concat of {shapes:?}"), operands, [Near::Exact; 2], |tape, ids| {
        tape.concat("concat", ids).unwrap()
    })
}

/// A run of channels, in four of ten cases one whose ends divide by 4.
pub fn narrow(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "narrow case");
    let mut dims = shape(&draw, false);
    let unit = if draw.coin() { 4 } else { 1 };
    let (start, length) = (unit * draw.between(0, 3), unit * draw.between(1, 3));
    dims[1] = start + length + unit * draw.between(0, 2);
    let label = format!("seed {seed}: narrow {start}, {length} of {dims:?}");
    case(label, vec![real(seed, "input", &dims)], [Near::Exact; 2], move |tape, ids| {
        tape.narrow("narrow", ids[0], start, length).unwrap()
    })
}

/// Every dim, sum and mean; one in eight is so long that it is summed in two passes.
pub fn reduce(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "reduce case");
    let dim = [Dim::All, Dim::AllButBatch, Dim::Spatial][draw.between(0, 2)];
    let mut dims = shape(&draw, dim == Dim::Spatial);
    if dims.len() == 4 && draw.between(0, 3) == 0 {
        dims[2] = draw.between(20, 40);
        dims[3] = draw.between(20, 40);
    }
    let (mean, len) = (draw.coin(), dims.iter().product());
    let label = format!("seed {seed}: {} over {dim:?} of {dims:?}", if mean { "mean" } else { "sum" });
    case(label, vec![real(seed, "input", &dims)], [Near::Sum(len), Near::Rounding(2.0)], move |tape, ids| {
        if mean { tape.mean("mean", ids[0], dim).unwrap() } else { tape.sum("sum", ids[0], dim).unwrap() }
    })
}

/// Padding and cropping of up to 3 on each side, of which something is left.
pub fn zero_pad2d(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "zero pad case");
    let mut dims = shape(&draw, true);
    let side = || draw.between(0, 6) as isize - 3;
    let padding = [side(), side(), side(), side()];
    for (axis, pair) in padding.chunks(2).enumerate() {
        let least = (1 - pair[0] - pair[1]).max(-pair[0]).max(-pair[1]).max(1);
        dims[2 + axis] = dims[2 + axis].max(least as usize);
    }
    let label = format!("seed {seed}: zero_pad2d {padding:?} of {dims:?}");
    case(label, vec![real(seed, "input", &dims)], [Near::Exact; 2], move |tape, ids| {
        tape.zero_pad2d("pad", ids[0], padding).unwrap()
    })
}

/// Factors of 1 to 4 on each axis.
pub fn upsample(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "upsample case");
    let dims = shape(&draw, true);
    let scale = [draw.between(1, 4), draw.between(1, 4)];
    let label = format!("seed {seed}: upsample {scale:?} of {dims:?}");
    case(label, vec![real(seed, "input", &dims)], [Near::Exact, Near::Sum(scale[0] * scale[1])], move |tape, ids| {
        tape.upsample("upsample", ids[0], scale).unwrap()
    })
}

fn reduction(draw: &Draw) -> Reduction {
    if draw.coin() { Reduction::Mean } else { Reduction::Sum }
}

/// Mean and sum; one in four is long.
pub fn mse_loss(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "mse case");
    let mut dims = shape(&draw, false);
    if draw.between(0, 3) == 0 {
        dims[0] = draw.between(100, 300);
    }
    let reduction = reduction(&draw);
    // The sum is of positive numbers of about 1.
    let near = Near::Rounding(4.0 * (dims.iter().product::<usize>() as f64).sqrt());
    let operands = vec![real(seed, "input", &dims), real(seed, "target", &dims)];
    case(format!("seed {seed}: mse_loss {reduction:?} of {dims:?}"), operands, [near, Near::Rounding(8.0)], {
        move |tape, ids| tape.mse_loss("loss", ids[0], ids[1], reduction).unwrap()
    })
}

/// Of numbers up to 4, of one class too.
pub fn log_softmax(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "log_softmax case");
    let dims = shape(&draw, false);
    let mut operand = real(seed, "input", &dims);
    operand.value = Value::Real(operand.value.real().iter().map(|x| 4.0 * x).collect());
    case(format!("seed {seed}: log_softmax of {dims:?}"), vec![operand], [Near::Rounding(16.0); 2], |tape, ids| {
        tape.log_softmax("log_softmax", ids[0]).unwrap()
    })
}

/// Mean and sum, ignored targets, class weights, images too.
pub fn nll_loss(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "nll case");
    let dims = shape(&draw, false);
    let classes = dims[1];
    // An ignored target is a value that no class has, or one of the classes.
    let ignore_index = if draw.coin() || classes == 1 { -100 } else { draw.between(0, classes - 1) as i32 };
    let target_dims: Vec<usize> = [&dims[..1], &dims[2..]].concat();
    let mut targets: Vec<i32> = (0..target_dims.iter().product())
        .map(|_| if draw.between(0, 3) == 0 { ignore_index } else { draw.between(0, classes - 1) as i32 })
        .collect();
    if targets.iter().all(|&target| target == ignore_index) {
        targets[0] = i32::from(ignore_index == 0);
    }
    let rows = targets.len() as f64;
    let op = NllLoss { reduction: reduction(&draw), ignore_index };
    let label = format!("seed {seed}: {op:?} of {dims:?}");
    let target = Operand { spec: Spec::i32(Shape::new(target_dims)), value: Value::Int(targets), wanted: false };
    let mut operands = vec![real(seed, "log_probs", &dims), target];
    if draw.coin() {
        let mut weight = real(seed, "weight", &[classes]);
        weight.value = Value::Real(weight.value.real().iter().map(|w| 1.0 + 0.75 * w).collect());
        operands.push(Operand { wanted: false, ..weight });
    }
    case(label, operands, [Near::Rounding(8.0 * rows), Near::Rounding(8.0)], move |tape, ids| {
        tape.nll_loss("loss", ids[0], ids[1], ids.get(2).copied(), op).unwrap().loss
    })
}

/// How many cases an operation that shares its family with others has for itself.
pub const CASES: usize = 100;

/// The family whose cases have an operation, and what their labels say then.
pub const EACH: [(&str, &str); 9] = [
    ("arithmetic", ": mul, scale "),
    ("arithmetic", ": sub, scale "),
    ("activation", ": LeakyRelu "),
    ("activation", ": Gelu(None) "),
    ("activation", ": Gelu(Tanh) "),
    ("activation", ": Silu "),
    ("reduce", ": sum over "),
    ("reduce", ": mean over "),
    ("add", ": add of "),
];

/// A hundred cases of the operation that labels call `word`.
pub fn each((family, word): (&str, &str)) -> Vec<OpCase> {
    let family =
        FAMILIES.iter().find(|(name, _)| *name == family).map_or(sum as fn(u64) -> OpCase, |(_, family)| *family);
    let found: Vec<OpCase> =
        (0..CASES as u64 * 20).map(family).filter(|case| case.label.contains(word)).take(CASES).collect();
    assert_eq!(found.len(), CASES, "cases of {word}");
    found
}

/// The sum of two tensors, or of one with itself, then a factor of 1: without it the gradient would be the output's own, which
/// no kernel reads.
fn sum(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "add case");
    let mut dims = vec![draw.between(1, 4), draw.between(1, 11)];
    if draw.coin() {
        dims.extend([draw.between(1, 7), draw.between(1, 7)]);
    }
    let same = draw.between(0, 4) == 0;
    let names = if same { vec!["a"] } else { vec!["a", "b"] };
    let operand = |name| {
        let spec = Spec::f32(Shape::new(dims.clone()));
        let value = Value::Real(uniform(seed, name, spec.shape.len()));
        Operand { spec, value, wanted: true }
    };
    OpCase {
        label: format!("seed {seed}: add of {dims:?}, same {same}"),
        operands: names.into_iter().map(operand).collect(),
        build: Box::new(|tape, ids| {
            let sum = tape.add("add", ids[0], ids[ids.len() - 1]).unwrap();
            tape.scale("one", sum, 1.0).unwrap()
        }),
        near: [Near::Rounding(2.0); 2],
    }
}
