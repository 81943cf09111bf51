//! Every gradient rule against central differences, in f64 on the reference executor, so that no wrong formula can hide
//! behind rounding. The function that is differentiated is the sum of seed * output over all elements of the outputs.

mod families;
mod layers;

use std::sync::Arc;

use tilegrad::graph::{Purpose, RANDOM, Spec, Stage, Tape, TensorId};
use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::Rng;
use tilegrad::shape::Layout;
use tilegrad::twin::Value;

use crate::common::cases::{self, away_from_zero, uniform};

/// Half the distance of the two points of a difference; numbers are about 1.
const STEP: f64 = 1e-5;
/// What a difference may miss the gradient by: the rounding of the sums, divided by the step, and the step squared.
const TOLERANCE: f64 = 2e-7;
/// Elements of a tensor that are tried one by one; the others take part in a step along a random direction.
const SINGLE: usize = 40;

/// A tensor that is differentiated by, or labels.
pub struct Operand {
    pub spec: Spec,
    pub value: Value<f64>,
    /// Whether its gradient is checked.
    pub wanted: bool,
}

pub fn real(spec: Spec, values: Vec<f32>) -> Operand {
    assert_eq!(spec.shape.len(), values.len());
    Operand { spec, value: Value::Real(values.into_iter().map(f64::from).collect()), wanted: true }
}

/// An f32 operand of this shape with values of U(-1, 1).
pub fn random(shape: impl Into<tilegrad::shape::Shape>, seed: u64, name: &str) -> Operand {
    let spec = Spec::f32(shape);
    let len = spec.shape.len();
    real(spec, uniform(seed, name, len))
}

/// A convolution's weight of this shape with values of U(-1, 1).
pub fn weight(shape: [usize; 4], seed: u64) -> Operand {
    let mut operand = random(shape, seed, "weight");
    operand.spec.layout = Layout::Hwio;
    operand
}

pub fn labels(targets: &[i32]) -> Operand {
    Operand { spec: Spec::i32([targets.len()]), value: Value::Int(targets.to_vec()), wanted: false }
}

/// The function under test: a tape with its operands and the outputs that are weighted and summed.
struct Function {
    program: Program<f64>,
    store: HostStore<f64>,
    outputs: Vec<TensorId>,
    seeds: Vec<Vec<f64>>,
}

impl Function {
    fn loss(&mut self) -> f64 {
        self.program.run(&mut self.store, &[Stage::Forward]).expect("all inputs are written");
        let mut sum = 0.0;
        for (&output, seeds) in self.outputs.iter().zip(&self.seeds) {
            let values = self.program.read(output).expect("the output was computed").real();
            // A max pooling's window in the padding gives minus infinity, whatever the input is.
            sum += values.iter().zip(seeds).filter(|(y, _)| y.is_finite()).map(|(y, seed)| y * seed).sum::<f64>();
        }
        sum
    }

    /// The difference quotient along `direction` from `values`, the values of the input called `name`.
    fn difference(&mut self, name: &str, values: &[f64], direction: &[f64]) -> f64 {
        let mut at = |sign: f64| {
            let moved = values.iter().zip(direction).map(|(x, d)| x + sign * STEP * d).collect();
            self.program.write(name, Value::Real(moved)).expect("the input exists");
            self.loss()
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * STEP);
        self.program.write(name, Value::Real(values.to_vec())).expect("the input exists");
        difference
    }
}

/// Holds the gradients by all f32 operands of what `build` makes of them against central differences.
pub fn check(label: &str, operands: &[Operand], build: impl Fn(&mut Tape, &[TensorId]) -> Vec<TensorId>) {
    let mut tape = Tape::new(Purpose::Train);
    let declare = |(i, operand): (usize, &Operand)| tape.input(&format!("operand{i}"), operand.spec.clone()).unwrap();
    let ids: Vec<TensorId> = operands.iter().enumerate().map(declare).collect();
    let outputs = build(&mut tape, &ids);
    let mut seeded = Vec::new();
    let mut seeds = Vec::new();
    for (i, &output) in outputs.iter().enumerate() {
        let spec = Spec::like(tape.tensor(output));
        seeds.push(uniform(i as u64, label, spec.shape.len()).into_iter().map(f64::from).collect::<Vec<_>>());
        seeded.push((output, tape.input(&format!("seed{i}"), spec).unwrap()));
    }
    let wanted: Vec<usize> = (0..operands.len()).filter(|&i| operands[i].wanted).collect();
    let wanted_ids: Vec<TensorId> = wanted.iter().map(|&i| ids[i]).collect();
    let gradients = tape.gradients_of(&seeded, &wanted_ids).unwrap_or_else(|error| panic!("{label}: {error}"));

    let store = HostStore::new(&tape, 0);
    let mut function = Function { program: Program::new(Arc::new(tape)), store, outputs, seeds };
    for (i, operand) in operands.iter().enumerate() {
        function.program.write(&format!("operand{i}"), operand.value.clone()).unwrap();
    }
    for (i, seed) in function.seeds.iter().enumerate() {
        function.program.write(&format!("seed{i}"), Value::Real(seed.clone())).unwrap();
    }
    if function.program.tape().find_input(RANDOM).is_some() {
        function.program.write(RANDOM, Value::Int(vec![0; 4])).unwrap();
    }
    function.program.run(&mut function.store, &[Stage::Forward, Stage::Backward]).unwrap();
    for i in wanted {
        let gradient = *gradients.get(&ids[i]).unwrap_or_else(|| panic!("{label}: operand {i} has no gradient"));
        let tape = function.program.tape();
        assert_eq!(tape.shape(gradient), tape.shape(ids[i]), "{label}: shape of the gradient of operand {i}");
        assert_eq!(tape.tensor(gradient).layout, tape.tensor(ids[i]).layout, "{label}: layout of gradient {i}");
        let gradient = function.program.read(gradient).unwrap().real().to_vec();
        let values = operands[i].value.real();
        let name = format!("operand{i}");
        let largest = gradient.iter().fold(1.0_f64, |largest, g| largest.max(g.abs()));
        let rng = Rng::new(i as u64, label);
        let places = rng.permutation(values.len());
        for &place in places.iter().take(SINGLE) {
            let mut direction = vec![0.0; values.len()];
            direction[place as usize] = 1.0;
            let expected = function.difference(&name, values, &direction);
            let actual = gradient[place as usize];
            assert!(
                (actual - expected).abs() <= TOLERANCE * largest,
                "{label}: operand {i}, element {place}: gradient {actual}, central difference {expected}"
            );
        }
        let direction: Vec<f64> = (0..values.len() as u64).map(|k| f64::from(rng.normal(k))).collect();
        let expected = function.difference(&name, values, &direction);
        let actual: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let scale: f64 = gradient.iter().zip(&direction).map(|(g, d)| (g * d).abs()).sum();
        assert!(
            (actual - expected).abs() <= TOLERANCE * scale.max(1.0),
            "{label}: operand {i}, random direction: gradient {actual}, central difference {expected}"
        );
    }
}

#[test]
fn conv2d() {
    for seed in 0..90 {
        let case = cases::conv_case(seed, 6, 5);
        let mut operands = vec![random(case.input, seed, "input"), weight(case.weight, seed)];
        if case.bias {
            operands.push(random([case.weight[0]], seed, "bias"));
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            vec![tape.conv2d("conv", ids[0], ids[1], ids.get(2).copied(), case.conv).unwrap()]
        });
    }
}

#[test]
fn the_random_convolutions_reach_every_attribute() {
    let all: Vec<_> = (0..90).map(|seed| cases::conv_case(seed, 6, 5)).collect();
    let some = |what: &str, holds: &dyn Fn(&cases::ConvCase) -> bool| {
        let count = all.iter().filter(|case| holds(case)).count();
        assert!(count >= 5, "{count} cases have {what}");
    };
    some("a depthwise convolution", &|c| c.conv.groups > 1 && c.weight[1] == 1);
    some("groups of several channels", &|c| c.conv.groups > 1 && c.weight[1] > 1);
    some("another padding on each side", &|c| {
        c.conv.padding[0] != c.conv.padding[1] && c.conv.padding[2] != c.conv.padding[3]
    });
    some("stride, dilation and padding at once", &|c| {
        c.conv.stride[0] > 1 && c.conv.dilation[0] > 1 && c.conv.padding[0] > 0 && c.weight[2] > 1
    });
    some("a kernel that is not square", &|c| c.weight[2] != c.weight[3]);
    some("rows that no window reaches", &|c| {
        let span = c.conv.dilation[0] * (c.weight[2] - 1) + 1;
        !(c.input[2] + c.conv.padding[0] + c.conv.padding[1] - span).is_multiple_of(c.conv.stride[0])
    });
    some("no bias", &|c| !c.bias);
    some("a bias", &|c| c.bias);
}

/// Numbers from -1 to 1 of which no two are equal, evenly spaced in random order: no window has a tie.
fn distinct(seed: u64, name: &str, len: usize) -> Vec<f32> {
    let order = Rng::new(seed, name).permutation(len);
    order.into_iter().map(|place| (2.0 * place as f32 + 1.0) / len as f32 - 1.0).collect()
}

#[test]
fn max_pool2d() {
    for seed in 0..60 {
        let case = cases::max_pool_case(seed, 3, 4);
        let len = case.input.iter().product();
        let operand = real(Spec::f32(case.input), distinct(seed, "input", len));
        check(&format!("seed {seed}: {case:?}"), &[operand], |tape, ids| {
            vec![tape.max_pool2d("pool", ids[0], case.pool).unwrap()]
        });
    }
}

#[test]
fn avg_pool2d() {
    for seed in 0..60 {
        let case = cases::avg_pool_case(seed, 3, 4);
        check(&format!("seed {seed}: {case:?}"), &[random(case.input, seed, "input")], |tape, ids| {
            vec![tape.avg_pool2d("pool", ids[0], case.pool).unwrap()]
        });
    }
}

#[test]
fn activations() {
    for shape in [[1, 1, 1, 1], [2, 3, 4, 5]] {
        let len: usize = shape.iter().product();
        let operand = || real(Spec::f32(shape), away_from_zero(1, "activation", len, 0.05));
        check("relu", &[operand()], |tape, ids| vec![tape.relu("relu", ids[0]).unwrap()]);
        check("sigmoid", &[operand()], |tape, ids| vec![tape.sigmoid("sigmoid", ids[0]).unwrap()]);
        check("tanh", &[operand()], |tape, ids| vec![tape.tanh("tanh", ids[0]).unwrap()]);
    }
}

#[test]
fn matmul_in_all_four_transposes_and_linear() {
    for seed in 0..24 {
        let case = cases::matmul_case(seed, 7);
        let mut operands = vec![random(case.a, seed, "a"), random(case.b, seed, "b")];
        if case.bias {
            operands.push(random([case.output[1]], seed, "bias"));
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            vec![tape.product("product", case.op, ids[0], ids[1], ids.get(2).copied()).unwrap()]
        });
    }
    let operands = [random([4, 5], 1, "input"), random([3, 5], 1, "weight"), random([3], 1, "bias")];
    check("linear", &operands, |tape, ids| vec![tape.linear("fc", ids[0], ids[1], Some(ids[2])).unwrap()]);
    check("linear without bias", &operands[..2], |tape, ids| vec![tape.linear("fc", ids[0], ids[1], None).unwrap()]);
}

#[test]
fn add_and_tensors_that_several_nodes_read() {
    let x = || random([2, 3, 2, 2], 1, "x");
    check("x + y", &[x(), random([2, 3, 2, 2], 1, "y")], |tape, ids| vec![tape.add("add", ids[0], ids[1]).unwrap()]);
    check("x + x", &[x()], |tape, ids| vec![tape.add("add", ids[0], ids[0]).unwrap()]);
    check("three readers of a tensor in the middle", &[x()], |tape, ids| {
        let middle = tape.tanh("middle", ids[0]).unwrap();
        let (a, b) = (tape.sigmoid("a", middle).unwrap(), tape.tanh("b", middle).unwrap());
        let sum = tape.add("a + b", a, b).unwrap();
        vec![tape.add("out", sum, middle).unwrap()]
    });
    check("two outputs, one upstream of the other", &[x()], |tape, ids| {
        let first = tape.sigmoid("first", ids[0]).unwrap();
        vec![first, tape.tanh("second", first).unwrap()]
    });
    check("a product with itself", &[random([4, 4], 1, "square")], |tape, ids| {
        vec![tape.matmul("square", ids[0], ids[0]).unwrap()]
    });
}

#[test]
fn flatten() {
    for shape in [[2, 3, 4, 5], [2, 3, 1, 1], [3, 1, 2, 4]] {
        check(&format!("flatten {shape:?}"), &[random(shape, 1, "input")], |tape, ids| {
            // The tanh keeps the flattened tensor from being the output itself.
            let flat = tape.flatten("flatten", ids[0]).unwrap();
            vec![tape.tanh("tanh", flat).unwrap()]
        });
    }
}

/// A row for each pixel, of logits and of labels.
#[test]
fn rows_of_pixels() {
    let labels: Vec<i32> = (0..24).map(|i| i * 7 % 4).collect();
    let targets = Operand { spec: Spec::i32([2, 3, 4]), value: Value::Int(labels), wanted: false };
    check("softmax cross-entropy of pixels", &[random([2, 4, 3, 4], 1, "logits"), targets], |tape, ids| {
        vec![tape.softmax_cross_entropy("loss", ids[0], ids[1], None, SoftmaxCrossEntropy::default()).unwrap().loss]
    });
}

#[test]
fn softmax_cross_entropy() {
    for seed in 0..60 {
        let case = cases::cross_entropy_case(seed, 6, 7);
        // Up to ±4, so that some rows are nearly certain of a class.
        let len = case.logits.iter().product();
        let logits = uniform(seed, "logits", len).into_iter().map(|x| 4.0 * x).collect();
        let mut operands = vec![real(Spec::f32(case.logits), logits), labels(&case.targets)];
        if case.weighted {
            let weights = uniform(seed, "weights", case.logits[1]).into_iter().map(|w| 1.0 + 0.75 * w).collect();
            operands.push(Operand { wanted: false, ..real(Spec::f32([case.logits[1]]), weights) });
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            let weight = ids.get(2).copied();
            vec![tape.softmax_cross_entropy("loss", ids[0], ids[1], weight, case.op).unwrap().loss]
        });
    }
}

#[test]
fn a_whole_network() {
    let operands = [
        random([3, 2, 9, 8], 1, "images"),
        weight([4, 2, 3, 3], 1),
        random([4], 1, "bias"),
        weight([4, 4, 3, 3], 2),
        random([5, 32], 1, "fc.weight"),
        random([5], 1, "fc.bias"),
        labels(&[4, 0, 2]),
    ];
    check("network", &operands, |tape, ids| {
        let same = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
        let x = tape.conv2d("conv1", ids[0], ids[1], Some(ids[2]), same).unwrap();
        let x = tape.relu("relu1", x).unwrap();
        let x = tape.max_pool2d("pool1", x, MaxPool2dAttributes::new([2, 2])).unwrap();
        // A residual connection, so that gradients meet.
        let y = tape.conv2d("conv2", x, ids[3], None, same).unwrap();
        let x = tape.add("add", x, y).unwrap();
        let x = tape.sigmoid("sigmoid", x).unwrap();
        let x = tape
            .avg_pool2d("pool2", x, AvgPool2dAttributes { stride: [1, 2], ..AvgPool2dAttributes::new([1, 2]) })
            .unwrap();
        let x = tape.flatten("flatten", x).unwrap();
        let x = tape.linear("fc", x, ids[4], Some(ids[5])).unwrap();
        vec![tape.softmax_cross_entropy("loss", x, ids[6], None, SoftmaxCrossEntropy::default()).unwrap().loss]
    });
}
