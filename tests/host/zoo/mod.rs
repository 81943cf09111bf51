//! Tapes with every operation, forward and backward, over odd attributes, and the devices that they are planned for.

mod augmentations;
mod families;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use tilegrad::graph::{Purpose, Spec, Tape, TensorId};
use tilegrad::kernel::{Caps, Choice, Choices, DeviceClass, Steps};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::activation::Activation;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::fused::epilogue::WithEpilogue;
use tilegrad::ops::gather::{Augment, Gather};
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, ParamGroup, Sgd};
use tilegrad::plan::{ParameterLayout, Plan, candidates};
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};

use crate::common::{cases, layers};

/// A tape of one operation's output and gradients by `wanted`, all of them kept.
pub fn differentiated(mut tape: Tape, output: TensorId, wanted: &[TensorId]) -> Tape {
    let spec = Spec::like(tape.tensor(output));
    let seed = tape.input("grad_output", spec).unwrap();
    let gradients = tape.gradients_of(&[(output, seed)], wanted).unwrap();
    tape.keep(output);
    wanted.iter().for_each(|id| tape.keep(gradients[id]));
    tape
}

fn conv(case: &cases::ConvCase) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let spec = Spec { layout: Layout::Hwio, ..Spec::f32(case.weight) };
    let mut operands = vec![tape.input("input", Spec::f32(case.input)).unwrap(), tape.input("weight", spec).unwrap()];
    if case.bias {
        operands.push(tape.input("bias", Spec::f32([case.weight[0]])).unwrap());
    }
    let output = tape.conv2d("conv", operands[0], operands[1], operands.get(2).copied(), case.conv).unwrap();
    differentiated(tape, output, &operands)
}

fn matmul(case: &cases::MatmulCase) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let mut operands = vec![tape.input("a", Spec::f32(case.a)).unwrap(), tape.input("b", Spec::f32(case.b)).unwrap()];
    if case.bias {
        operands.push(tape.input("bias", Spec::f32([case.output[1]])).unwrap());
    }
    let output = tape.product("product", case.op, operands[0], operands[1], operands.get(2).copied()).unwrap();
    differentiated(tape, output, &operands)
}

fn cross_entropy(case: &cases::CrossEntropyCase) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let logits = tape.input("logits", Spec::f32(case.logits)).unwrap();
    let target = tape.input("target", Spec::i32([case.logits[0]])).unwrap();
    let weight = case.weighted.then(|| tape.input("weight", Spec::f32([case.logits[1]])).unwrap());
    let loss = tape.softmax_cross_entropy("loss", logits, target, weight, case.op).unwrap().loss;
    differentiated(tape, loss, &[logits])
}

fn batch_norm(case: &layers::BatchNormCase) -> Tape {
    let mut tape = Tape::new(if case.training { Purpose::Train } else { Purpose::Evaluate });
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let affine = case.affine.then(|| {
        let of = |tape: &mut Tape, name: &str| tape.input(name, Spec::f32([case.input[1]])).unwrap();
        (of(&mut tape, "weight"), of(&mut tape, "bias"))
    });
    let output = case.append(&mut tape, input, affine).0;
    let wanted: Vec<TensorId> = [input].into_iter().chain(affine.into_iter().flat_map(|(w, b)| [w, b])).collect();
    differentiated(tape, output, &wanted)
}

/// A convolution that batch norm follows.
fn normalised_conv(case: &cases::ConvCase) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let output = layers::normalised_conv(&mut tape, case).0;
    tape.keep(output);
    tape
}

/// One operation of one input of shape [N, C, H, W].
fn unary(shape: [usize; 4], operation: impl Fn(&mut Tape, TensorId) -> TensorId) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(shape)).unwrap();
    let output = operation(&mut tape, input);
    differentiated(tape, output, &[input])
}

/// LeNet with everything that a training step has: a gathered batch, loss, accumulators, two parameter groups.
pub fn lenet(batch: usize) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let spec = Spec { dtype: DType::U8, ..Spec::f32([1000, 1, 28, 28]) };
    let (images, labels) = (tape.resident("images", spec), tape.resident("labels", Spec::i32([1000])));
    let indices = tape.input("indices", Spec::i32([batch])).unwrap();
    tape.set_stage(tilegrad::graph::Stage::Gather);
    let op = Gather { scale: [1.0 / 255.0; 4], shift: [-0.5; 4], augment: None };
    let x = tape.gather("images", images, indices, op).unwrap();
    let target = tape.gather_labels("labels", labels, indices).unwrap();
    tape.set_stage(tilegrad::graph::Stage::Forward);
    let logits = LeNet5::new(10).forward(&mut tape, x).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.accumulate("train", loss).unwrap();
    tape.accumulate_mean("train.loss", loss.loss, batch).unwrap();
    tape.accumulate_mean_of("train.both", loss.loss, batch, loss).unwrap();
    let biases = ParamGroup::new(|name| name.ends_with("bias"));
    Sgd::new(0.1).momentum(0.9).weight_decay(1e-4).group(biases).minimize(&mut tape, loss.loss).unwrap();
    tape
}

/// A batch of colour images, cropped and flipped at random.
fn augmented() -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([1000, 3, 32, 32]) });
    let indices = tape.input("indices", Spec::i32([8])).unwrap();
    let op = Gather { scale: [1.0 / 64.0; 4], shift: [-2.0; 4], augment: Some(Augment::default()) };
    let batch = tape.gather("images", images, indices, op).unwrap();
    tape.keep(batch);
    tape
}

/// A layer of a parameter, whose gradients are clipped as `sgd` says and add up over batches.
fn optimized(sgd: Sgd) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([2, 5])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    let weight = tape.parameter("weight", [3, 5], Layout::RowMajor, Init::Normal(0.1)).unwrap();
    let logits = tape.linear("fc", x, weight, None).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    sgd.minimize_accumulated(&mut tape, loss.loss).unwrap();
    tape
}

/// The parameters of [`residual_net`]'s `blocks`, from the bottom.
pub fn residual_block(block: usize) -> [String; 2] {
    [format!("block{block}.conv1.weight"), format!("block{block}.conv2.weight")]
}

/// Two blocks of two convolutions with a shortcut around them, then a classifier; `frozen` says which parameters are not
/// trained.
pub fn residual_net(frozen: &dyn Fn(&str) -> bool) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let mut x = tape.input("images", Spec::f32([4, 8, 12, 12])).unwrap();
    let target = tape.input("target", Spec::i32([4])).unwrap();
    let parameter = |tape: &mut Tape, name: String, shape: [usize; 4]| {
        let layout = if shape[2] > 0 { Layout::Hwio } else { Layout::RowMajor };
        let id = match layout {
            Layout::Hwio => tape.parameter(&name, shape, layout, Init::Normal(0.1)),
            _ => tape.parameter(&name, [shape[0], shape[1]], layout, Init::Normal(0.1)),
        };
        let id = id.unwrap();
        if frozen(&name) {
            tape.freeze(id).unwrap();
        }
        id
    };
    let same = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    for block in 0..2 {
        let [first, second] = residual_block(block);
        let (first, second) = (parameter(&mut tape, first, [8, 8, 3, 3]), parameter(&mut tape, second, [8, 8, 3, 3]));
        let y = tape.conv2d(&format!("block{block}.conv1"), x, first, None, same).unwrap();
        let y = tape.relu(&format!("block{block}.relu1"), y).unwrap();
        let y = tape.conv2d(&format!("block{block}.conv2"), y, second, None, same).unwrap();
        let sum = tape.add(&format!("block{block}.add"), x, y).unwrap();
        x = tape.relu(&format!("block{block}.relu2"), sum).unwrap();
    }
    let x = tape.flatten("flatten", x).unwrap();
    let weight = parameter(&mut tape, "fc.weight".into(), [10, 8 * 12 * 12, 0, 0]);
    let logits = tape.linear("fc", x, weight, None).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    Sgd::new(0.1).momentum(0.9).minimize(&mut tape, loss.loss).unwrap();
    tape
}

/// Every operation over odd attributes, each with the name that failures show.
pub fn tapes() -> Vec<(String, Tape)> {
    let mut tapes = vec![
        ("lenet".to_string(), lenet(8)),
        ("residual net".to_string(), residual_net(&|_| false)),
        ("augmented".to_string(), augmented()),
        ("clipped by norm".to_string(), optimized(Sgd::new(0.1).clip_grad_norm(1.0))),
        ("clipped by value".to_string(), optimized(Sgd::new(0.1).clip_grad_value(1.0))),
        ("relu".to_string(), unary([2, 3, 4, 5], |tape, x| tape.relu("relu", x).unwrap())),
        ("sigmoid".to_string(), unary([2, 3, 4, 5], |tape, x| tape.sigmoid("sigmoid", x).unwrap())),
        ("tanh".to_string(), unary([2, 3, 4, 5], |tape, x| tape.tanh("tanh", x).unwrap())),
        (
            "activations in place".to_string(),
            unary([2, 3, 4, 5], |tape, x| {
                let x = tape.scale("scale", x, 2.0).unwrap();
                let x = tape.sigmoid("sigmoid", x).unwrap();
                tape.tanh("tanh", x).unwrap()
            }),
        ),
        ("add".to_string(), unary([2, 3, 4, 5], |tape, x| tape.add("add", x, x).unwrap())),
        ("copy".to_string(), unary([2, 3, 4, 5], |tape, x| tape.copy("copy", x).unwrap())),
        ("flatten".to_string(), unary([2, 3, 4, 5], |tape, x| tape.flatten("flatten", x).unwrap())),
        // Lengths that do not divide by 4.
        ("odd relu".to_string(), unary([1, 3, 5, 7], |tape, x| tape.relu("relu", x).unwrap())),
        ("odd sigmoid".to_string(), unary([1, 3, 5, 7], |tape, x| tape.sigmoid("sigmoid", x).unwrap())),
        ("odd tanh".to_string(), unary([1, 3, 5, 7], |tape, x| tape.tanh("tanh", x).unwrap())),
        ("odd add".to_string(), unary([1, 3, 5, 7], |tape, x| tape.add("add", x, x).unwrap())),
        ("flatten, a view".to_string(), unary([2, 3, 1, 1], |tape, x| tape.flatten("flatten", x).unwrap())),
    ];
    for seed in 0..16 {
        let case = cases::conv_case(seed, 20, 7);
        tapes.push((format!("{case:?}"), conv(&case)));
        let case = cases::matmul_case(seed, 150);
        tapes.push((format!("{case:?}"), matmul(&case)));
        let case = cases::cross_entropy_case(seed, 9, 12);
        tapes.push((format!("{case:?}"), cross_entropy(&case)));
        let case = cases::max_pool_case(seed, 5, 5);
        let tape = unary(case.input, |tape, x| tape.max_pool2d("pool", x, case.pool).unwrap());
        tapes.push((format!("{case:?}"), tape));
        let case = cases::avg_pool_case(seed, 5, 5);
        let tape = unary(case.input, |tape, x| tape.avg_pool2d("pool", x, case.pool).unwrap());
        tapes.push((format!("{case:?}"), tape));
    }
    for seed in 0..16 {
        let case = layers::batch_norm_case(seed, 8);
        tapes.push((format!("{case:?}"), batch_norm(&case)));
        let (shape, size) = layers::adaptive_case(seed, 5);
        tapes.push((
            format!("adaptive {shape:?}"),
            unary(shape, |tape, x| tape.adaptive_avg_pool2d("pool", x, size).unwrap()),
        ));
        let case = cases::depthwise_case(seed, 12, 5);
        tapes.push((format!("{case:?}"), conv(&case)));
    }
    for channels in [16, 6, 5] {
        let conv2d = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
        let case = cases::ConvCase { input: [2, 8, 6, 7], weight: [channels, 8, 3, 3], conv: conv2d, bias: false };
        tapes.push((format!("{case:?}, normalised"), normalised_conv(&case)));
    }
    tapes.push(("dropout".into(), unary([2, 3, 4, 5], |tape, x| tape.dropout("dropout", x, 0.5).unwrap())));
    // So many rows that batch norm's statistics and sums take several passes.
    for channels in [64, 3] {
        let case = layers::BatchNormCase {
            input: [4, channels, 99, 101],
            affine: true,
            training: true,
            ..layers::batch_norm_case(0, 8)
        };
        tapes.push((format!("{case:?}"), batch_norm(&case)));
    }
    // Enough rows that a bias's gradient is summed in two passes, and a weight's gradient in several splits.
    let long =
        cases::ConvCase { input: [4, 3, 40, 40], weight: [5, 3, 3, 3], conv: Conv2dAttributes::default(), bias: true };
    tapes.push((format!("{long:?}"), conv(&long)));
    // A first layer in blocks of channels, and one without.
    for (out, bias) in [(16, true), (16, false), (5, true)] {
        let conv2d = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
        let first = cases::ConvCase { input: [2, 3, 8, 8], weight: [out, 3, 3, 3], conv: conv2d, bias };
        tapes.push((format!("{first:?}"), conv(&first)));
    }
    tapes.extend(chosen_by_attributes());
    tapes.extend(augmentations::tapes());
    tapes.extend(families::tapes());
    tapes.extend(epilogues(&tapes));
    tapes
}

/// What rules and algorithms take for its attributes: activations in place, Winograd's kernels with a bias, windows side by side,
/// single pixels.
fn chosen_by_attributes() -> Vec<(String, Tape)> {
    let mut tapes = Vec::new();
    // After what has no epilogue an activation is computed in the memory of its input.
    for activation in [Activation::Relu, Activation::Sigmoid, Activation::Tanh] {
        let scaled = unary([2, 3, 4, 5], move |tape, x| {
            let scaled = tape.scale("scale", x, 0.5).unwrap();
            tape.activation("activation", activation, scaled).unwrap()
        });
        tapes.push((format!("{activation:?} in place"), scaled));
    }
    // Winograd's kernels with a bias, and the gradient of a pooling that no relu stands before.
    let square = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let biased = cases::ConvCase { input: [2, 8, 6, 7], weight: [12, 8, 3, 3], conv: square, bias: true };
    tapes.push((format!("{biased:?}"), conv(&biased)));
    let pool = |tape: &mut Tape, x| tape.max_pool2d("pool", x, MaxPool2dAttributes::new([2, 2])).unwrap();
    tapes.push(("max_pool2d side by side".into(), unary([2, 4, 6, 6], pool)));
    // Single pixels, as a bottleneck has them.
    for (groups, stride) in [(1, 1), (1, 2), (2, 1)] {
        let conv2d = Conv2dAttributes { stride: [stride; 2], groups, ..Conv2dAttributes::default() };
        let case = cases::ConvCase { input: [2, 8, 5, 6], weight: [12, 8 / groups, 1, 1], conv: conv2d, bias: true };
        tapes.push((format!("{case:?}"), conv(&case)));
    }
    tapes
}

/// One node of every operation and algorithm that has an epilogue, with all steps in it.
fn epilogues(tapes: &[(String, Tape)]) -> Vec<(String, Tape)> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for (_, tape) in tapes {
        for node in tape.nodes().iter().filter(|node| node.op.has_epilogue() && node.updates.is_empty()) {
            let algorithms = candidates(tape, node, &Caps::webgpu(DeviceClass::Software));
            if !algorithms.into_iter().any(|choice| seen.insert((node.op.name(), choice.name))) {
                continue;
            }
            let mut alone = Tape::new(Purpose::Train);
            let inputs = node.inputs.iter().chain([&node.outputs[0]; 2]).enumerate();
            let inputs: Vec<TensorId> = inputs
                .map(|(i, &id)| alone.input(&format!("input{i}"), Spec::like(tape.tensor(id))).unwrap())
                .collect();
            let op = WithEpilogue { op: Arc::clone(&node.op), steps: Steps { add: true, relu: true, mask: true } };
            let outputs = alone.append("fused", op, &inputs, &[]).unwrap();
            alone.keep(outputs[0]);
            found.push((format!("{:?} with an epilogue", node.op), alone));
        }
    }
    found
}

/// Devices of every kind, all within WebGPU's default limits; the last can shuffle among exactly eight lanes.
pub fn devices() -> Vec<Caps> {
    let classes = [DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software];
    let mut devices: Vec<Caps> = classes.into_iter().map(Caps::webgpu).collect();
    devices.push(Caps { subgroups: Some((8, 8)), ..Caps::webgpu(DeviceClass::Software) });
    devices
}

/// What a tuner may ask for: the candidate that is preferred, or one of every algorithm wherever there is one of the name.
pub fn choices() -> Vec<Choices> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let tapes = tapes();
        let of_tape = |caps: &Caps, (_, tape): &(String, Tape)| -> Vec<String> {
            let nodes = tape.nodes().iter();
            nodes.flat_map(|node| candidates(tape, node, caps)).map(|candidate| candidate.name).collect()
        };
        devices().iter().flat_map(|caps| tapes.iter().flat_map(move |tape| of_tape(caps, tape))).collect()
    });
    let by_name = NAMES.iter().map(|name| Choices::everywhere(name.as_str()));
    std::iter::once(Choices::default()).chain(by_name).collect()
}

/// A product and a convolution, and every tile that they can be computed in on this device.
pub fn tiles(caps: &Caps) -> Vec<(Tape, Choices)> {
    let product = cases::MatmulCase { a: [70, 36], b: [36, 68], output: [70, 68], op: Default::default(), bias: true };
    let square = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let conv2d = cases::ConvCase { input: [2, 8, 9, 9], weight: [12, 8, 3, 3], conv: square, bias: false };
    let mut found = Vec::new();
    for tape in [matmul(&product), conv(&conv2d)] {
        let offered: BTreeSet<Choice> = tape.nodes().iter().flat_map(|node| candidates(&tape, node, caps)).collect();
        let tiled = offered.into_iter().filter(|choice| choice.tile.is_some());
        found.extend(tiled.map(|choice| (tape.clone(), Choices::everywhere(choice))));
    }
    found
}

/// The plan of a tape with a parameter layout of its own.
pub fn plan(tape: &Tape, caps: &Caps, choices: &Choices) -> tilegrad::Result<Plan> {
    let layout = Arc::new(ParameterLayout::new(tape, caps)?);
    Plan::new(Arc::new(tape.clone()), layout, caps, choices)
}
