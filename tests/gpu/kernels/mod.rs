//! Every operation's kernels against its twin, over random attributes and at the edges of tiles.

pub mod families;
pub mod layers;

use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Tape, Tensor, TensorId};
use tilegrad::kernel::{Dispatch, Extent, Kernel, Lowering, Source};
use tilegrad::ops::activation::Activation;
use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::rng::Rng;
use tilegrad::shape::Layout;
use tilegrad::twin::{Inputs, Outputs, Real, Twin, Value};

use crate::check::{Case, Tolerance, check_as_card, check_op, device};
use crate::common::cases::{self, AvgPoolCase, ConvCase, CrossEntropyCase, MatmulCase, MaxPoolCase};

/// Few different numbers, so that many windows have ties.
pub fn coarse(seed: u64, name: &str, len: usize) -> Vec<f32> {
    cases::uniform(seed, name, len).into_iter().map(|x| (x * 3.0).floor() / 4.0).collect()
}

/// A weight as an input, so that it lies between bands of NaN.
fn weight(tape: &mut Tape, shape: [usize; 4]) -> TensorId {
    tape.input("weight", Spec { layout: Layout::Hwio, ..Spec::f32(shape) }).unwrap()
}

/// The convolution, and its gradients by all operands for a random gradient of the output.
pub fn conv(seed: u64, case: &ConvCase) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let weight = weight(&mut tape, case.weight);
    let bias = case.bias.then(|| tape.input("bias", Spec::f32([case.weight[0]])).unwrap());
    let output = tape.conv2d("conv", input, weight, bias, case.conv).unwrap();
    let shape = tape.shape(output).clone();
    let grad_output = tape.input("grad_output", Spec::f32(shape.clone())).unwrap();
    let wanted: Vec<TensorId> = [input, weight].into_iter().chain(bias).collect();
    let grads = tape.gradients_of(&[(output, grad_output)], &wanted).unwrap();
    let [_, group_in, kernel_h, kernel_w] = case.weight;
    let pixels = shape.len() / case.weight[0];
    let depths =
        [group_in * kernel_h * kernel_w + 1, case.weight[0] / case.conv.groups * kernel_h * kernel_w, pixels, pixels];
    let results = [Some(output), Some(grads[&input]), Some(grads[&weight]), bias.map(|bias| grads[&bias])];
    let outputs = results.into_iter().zip(depths);
    let real = |name: &str, len: usize| Value::Real(cases::uniform(seed, name, len));
    let mut inputs = vec![
        ("input", real("input", case.input.iter().product())),
        ("weight", real("weight", case.weight.iter().product())),
        ("grad_output", real("grad_output", shape.len())),
    ];
    if case.bias {
        inputs.push(("bias", real("bias", case.weight[0])));
    }
    Case {
        label: format!("conv2d, seed {seed}, {case:?}"),
        outputs: outputs.filter_map(|(id, depth)| Some((id?, Tolerance::Sum { depth }))).collect(),
        tape,
        inputs,
    }
}

/// A quarter of the random convolutions: four tests run them side by side.
fn random_convs(quarter: u64) {
    let Some(device) = device() else { return };
    for seed in (0..200).filter(|seed| seed % 4 == quarter) {
        check_op(device, conv(seed, &cases::conv_case(seed, 70, 7)));
    }
}

#[test]
fn conv2d_random_0() {
    random_convs(0);
}

#[test]
fn conv2d_random_1() {
    random_convs(1);
}

#[test]
fn conv2d_random_2() {
    random_convs(2);
}

#[test]
fn conv2d_random_3() {
    random_convs(3);
}

#[test]
fn conv2d_depthwise_random() {
    let Some(device) = device() else { return };
    for seed in 0..100 {
        check_op(device, conv(3000 + seed, &cases::depthwise_case(seed, 20, 5)));
    }
    // Enough pixels that the weight's gradient is summed in chunks.
    for channels in [4, 3] {
        let conv2d = Conv2dAttributes { padding: [1; 4], groups: channels, ..Conv2dAttributes::default() };
        let case = ConvCase { input: [3, channels, 17, 13], weight: [channels, 1, 3, 3], conv: conv2d, bias: true };
        check_op(device, conv(3100, &case));
    }
}

#[test]
fn conv2d_at_the_edges_of_tiles() {
    let Some(device) = device() else { return };
    // Pixels and channels of one less than a tile, a tile, and one more, for tiles of 8, 16, 32 and 64.
    for (i, (pixels, channels)) in
        [(31, 7), (32, 8), (33, 9), (63, 15), (64, 16), (65, 17), (64, 63), (65, 64), (33, 65), (1, 1)]
            .into_iter()
            .enumerate()
    {
        let case = ConvCase {
            input: [1, channels, 1, pixels],
            weight: [channels, channels, 1, 3],
            conv: Conv2dAttributes { padding: [0, 0, 1, 1], ..Conv2dAttributes::default() },
            bias: i % 2 == 0,
        };
        check_op(device, conv(1000 + i as u64, &case));
    }
}

#[test]
fn conv2d_with_a_long_depth_is_split_and_repeats() {
    let Some(device) = device() else { return };
    // 4,000 pixels: the weight's gradient is split many times and the bias's is summed in two steps.
    let case = ConvCase {
        input: [10, 3, 20, 20],
        weight: [6, 3, 5, 5],
        conv: Conv2dAttributes { padding: [2; 4], ..Conv2dAttributes::default() },
        bias: true,
    };
    check_op(device, conv(2000, &case));
}

/// The product, and its gradients by all operands.
pub fn matmul(seed: u64, case: &MatmulCase) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let a = tape.input("a", Spec::f32(case.a)).unwrap();
    let b = tape.input("b", Spec::f32(case.b)).unwrap();
    let bias = case.bias.then(|| tape.input("bias", Spec::f32([case.output[1]])).unwrap());
    let output = tape.product("product", case.op, a, b, bias).unwrap();
    let grad_output = tape.input("grad_output", Spec::f32(case.output)).unwrap();
    let wanted: Vec<TensorId> = [a, b].into_iter().chain(bias).collect();
    let grads = tape.gradients_of(&[(output, grad_output)], &wanted).unwrap();
    let [m, n] = case.output;
    let k = case.a.iter().product::<usize>() / m;
    let mut outputs = vec![
        (output, Tolerance::Sum { depth: k + 1 }),
        (grads[&a], Tolerance::Sum { depth: n }),
        (grads[&b], Tolerance::Sum { depth: m }),
    ];
    let real = |name: &str, len: usize| Value::Real(cases::uniform(seed, name, len));
    let mut inputs =
        vec![("a", real("a", m * k)), ("b", real("b", k * n)), ("grad_output", real("grad_output", m * n))];
    if let Some(bias) = bias {
        outputs.push((grads[&bias], Tolerance::Sum { depth: m }));
        inputs.push(("bias", real("bias", n)));
    }
    Case { label: format!("matmul, seed {seed}, {case:?}"), tape, inputs, outputs }
}

#[test]
fn matmul_random_and_at_the_edges_of_tiles() {
    let Some(device) = device() else { return };
    for seed in 0..60 {
        check_op(device, matmul(seed, &cases::matmul_case(seed, 70)));
    }
    for (i, extent) in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129].into_iter().enumerate() {
        let op = cases::matmul_case(i as u64, 8).op;
        let case = MatmulCase { a: [extent; 2], b: [extent; 2], output: [extent; 2], op, bias: i % 2 == 0 };
        check_op(device, matmul(100 + i as u64, &case));
    }
}

/// Values with NaN, infinities and ties among them.
fn awkward(seed: u64, name: &str, len: usize) -> Vec<f32> {
    let mut values = coarse(seed, name, len);
    for (value, special) in
        values.iter_mut().skip(seed as usize % 3).step_by(5).zip([f32::NAN, f32::NEG_INFINITY, f32::INFINITY])
    {
        *value = special;
    }
    values
}

fn max_pool(seed: u64, case: &MaxPoolCase) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let output = tape.max_pool2d("pool", input, case.pool).unwrap();
    let indices = tape.nodes()[0].outputs[1];
    let shape = tape.shape(output).clone();
    let grad_output = tape.input("grad_output", Spec::f32(shape.clone())).unwrap();
    let grads = tape.gradients_of(&[(output, grad_output)], &[input]).unwrap();
    let len = case.input.iter().product();
    let values = if seed % 4 == 3 { awkward(seed, "input", len) } else { coarse(seed, "input", len) };
    Case {
        label: format!("max_pool2d, seed {seed}, {case:?}"),
        outputs: vec![
            (output, Tolerance::Exact),
            (indices, Tolerance::Exact),
            (grads[&input], Tolerance::Rounding(16.0)),
        ],
        tape,
        inputs: vec![
            ("input", Value::Real(values)),
            ("grad_output", Value::Real(cases::uniform(seed, "grad_output", shape.len()))),
        ],
    }
}

#[test]
fn max_pool2d_random() {
    let Some(device) = device() else { return };
    for seed in 0..120 {
        check_op(device, max_pool(seed, &cases::max_pool_case(seed, 40, 5)));
    }
}

#[test]
fn max_pool2d_side_by_side() {
    let Some(device) = device() else { return };
    // Where windows lie side by side the gradient has a kernel of its own; extents that leave a rest, and ceil_mode.
    for (i, (h, w, kernel, ceil_mode)) in [
        (8, 8, [2, 2], false),
        (9, 7, [2, 2], false),
        (9, 7, [2, 2], true),
        (10, 11, [3, 4], false),
        (5, 5, [1, 1], false),
    ]
    .into_iter()
    .enumerate()
    {
        let pool = MaxPool2dAttributes { ceil_mode, ..MaxPool2dAttributes::new(kernel) };
        check_op(device, max_pool(500 + i as u64, &MaxPoolCase { input: [2, 5, h, w], pool }));
    }
}

fn avg_pool(seed: u64, case: &AvgPoolCase) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let output = tape.avg_pool2d("pool", input, case.pool).unwrap();
    let shape = tape.shape(output).clone();
    let grad_output = tape.input("grad_output", Spec::f32(shape.clone())).unwrap();
    let grads = tape.gradients_of(&[(output, grad_output)], &[input]).unwrap();
    let real = |name: &str, len: usize| Value::Real(cases::uniform(seed, name, len));
    let area = case.pool.kernel.iter().product();
    Case {
        label: format!("avg_pool2d, seed {seed}, {case:?}"),
        outputs: vec![(output, Tolerance::Sum { depth: area }), (grads[&input], Tolerance::Sum { depth: area })],
        tape,
        inputs: vec![
            ("input", real("input", case.input.iter().product())),
            ("grad_output", real("grad_output", shape.len())),
        ],
    }
}

#[test]
fn avg_pool2d_random() {
    let Some(device) = device() else { return };
    for seed in 0..120 {
        check_op(device, avg_pool(seed, &cases::avg_pool_case(seed, 40, 5)));
    }
}

#[test]
fn avg_pool2d_side_by_side() {
    let Some(device) = device() else { return };
    for (i, (h, w, kernel, ceil_mode)) in
        [(8, 8, [2, 2], false), (9, 7, [2, 2], false), (9, 7, [2, 2], true), (10, 11, [3, 4], true)]
            .into_iter()
            .enumerate()
    {
        let pool = AvgPool2dAttributes { ceil_mode, ..AvgPool2dAttributes::new(kernel) };
        check_op(device, avg_pool(500 + i as u64, &AvgPoolCase { input: [2, 5, h, w], pool }));
    }
}

#[test]
fn activations_and_their_gradients() {
    let Some(device) = device() else { return };
    // Lengths that four divides and does not, on both sides of a workgroup.
    for (i, len) in [1, 3, 4, 63, 64, 65, 255, 256, 260, 1001].into_iter().enumerate() {
        for (activation, tolerance) in [
            (Activation::Relu, Tolerance::Exact),
            (Activation::Sigmoid, Tolerance::Rounding(8.0)),
            (Activation::Tanh, Tolerance::Rounding(8.0)),
        ] {
            let mut tape = Tape::new(Purpose::Train);
            let input = tape.input("input", Spec::f32([1, len])).unwrap();
            let output = tape.activation("activation", activation, input).unwrap();
            let grad_output = tape.input("grad_output", Spec::f32([1, len])).unwrap();
            let grads = tape.gradients_of(&[(output, grad_output)], &[input]).unwrap();
            let seed = i as u64;
            let values = cases::uniform(seed, "input", len).into_iter();
            // From tiny to far beyond where the functions end, zeros of both signs, NaN.
            let mut values: Vec<f32> =
                values.enumerate().map(|(i, x)| x * [1e-4, 0.1, 1.0, 10.0, 200.0][i % 5]).collect();
            for (value, special) in
                values.iter_mut().skip(8).zip([0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY])
            {
                *value = special;
            }
            check_op(
                device,
                Case {
                    label: format!("{activation:?}, {len} elements"),
                    outputs: vec![(output, tolerance), (grads[&input], tolerance)],
                    tape,
                    inputs: vec![
                        ("input", Value::Real(values)),
                        ("grad_output", Value::Real(cases::uniform(seed, "grad_output", len))),
                    ],
                },
            );
        }
    }
}

#[test]
fn tanh_keeps_its_digits_near_zero() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([1, 400])).unwrap();
    let output = tape.tanh("tanh", input).unwrap();
    tape.keep(output);
    let values: Vec<f32> = (1..=400).map(|i| i as f32 * 0.005).collect();
    let mut session = crate::check::session(device, tape, &Default::default(), Default::default()).unwrap();
    session.write("input", &values).unwrap();
    session.step().unwrap();
    for (x, y) in values.iter().zip(session.read_f32(output).unwrap()) {
        let exact = f64::from(*x).tanh();
        assert!((f64::from(y) - exact).abs() <= 4.0 * f64::from(f32::EPSILON) * exact, "tanh({x}) = {y}, not {exact}");
    }
}

#[test]
fn add_copy_flatten_and_column_sum() {
    let Some(device) = device() else { return };
    for (i, shape) in
        [[1, 1, 1, 1], [2, 3, 4, 5], [3, 70, 1, 1], [2, 1, 5, 7], [4, 16, 5, 5], [7, 2, 31, 33]].into_iter().enumerate()
    {
        let mut tape = Tape::new(Purpose::Train);
        let a = tape.input("a", Spec::f32(shape)).unwrap();
        let b = tape.input("b", Spec::f32(shape)).unwrap();
        let sum = tape.add("add", a, b).unwrap();
        let copy = tape.copy("copy", sum).unwrap();
        let flat = tape.flatten("flatten", sum).unwrap();
        let columns = tape.column_sum("columns", sum).unwrap();
        let grad_flat = tape.input("grad_flat", Spec::f32(tape.shape(flat).clone())).unwrap();
        let grads = tape.gradients_of(&[(flat, grad_flat)], &[a]).unwrap();
        let len = shape.iter().product();
        let real = |name: &str| Value::Real(cases::uniform(i as u64, name, len));
        check_op(
            device,
            Case {
                label: format!("add and flatten of {shape:?}"),
                outputs: vec![
                    (sum, Tolerance::Rounding(1.0)),
                    (copy, Tolerance::Rounding(1.0)),
                    (flat, Tolerance::Rounding(1.0)),
                    (columns, Tolerance::Sum { depth: len / shape[1] + 1 }),
                    (grads[&a], Tolerance::Exact),
                ],
                tape,
                inputs: vec![("a", real("a")), ("b", real("b")), ("grad_flat", real("grad_flat"))],
            },
        );
    }
}

fn cross_entropy(seed: u64, case: &CrossEntropyCase, scale: f32) -> Case {
    let [rows, classes] = case.logits;
    let mut tape = Tape::new(Purpose::Train);
    let logits = tape.input("logits", Spec::f32(case.logits)).unwrap();
    let target = tape.input("target", Spec::i32([rows])).unwrap();
    let weight = case.weighted.then(|| tape.input("weight", Spec::f32([classes])).unwrap());
    let loss = tape.softmax_cross_entropy("loss", logits, target, weight, case.op).unwrap();
    let grad_loss = tape.input("grad_loss", Spec::f32([1])).unwrap();
    let grads = tape.gradients_of(&[(loss.loss, grad_loss)], &[logits]).unwrap();
    let values = cases::uniform(seed, "logits", rows * classes).into_iter().map(|x| x * scale).collect();
    let mut inputs = vec![
        ("logits", Value::Real(values)),
        ("target", Value::Int(case.targets.clone())),
        ("grad_loss", Value::Real(vec![1.5])),
    ];
    if case.weighted {
        let weights = cases::uniform(seed, "weight", classes).into_iter().map(|x| x * 0.7 + 1.0).collect();
        inputs.push(("weight", Value::Real(weights)));
    }
    // Each row's loss is a difference of numbers as large as the logits.
    let roundings = f64::from(scale) * 8.0;
    Case {
        label: format!("softmax_cross_entropy, seed {seed}, logits to {scale}, {case:?}"),
        outputs: vec![
            (loss.loss, Tolerance::Rounding(roundings)),
            (loss.totals, Tolerance::Rounding(roundings * rows as f64)),
            (grads[&logits], Tolerance::Rounding(roundings)),
        ],
        tape,
        inputs,
    }
}

#[test]
fn softmax_cross_entropy_random() {
    let Some(device) = device() else { return };
    for seed in 0..60 {
        let scale = if seed % 5 == 4 { 80.0 } else { 4.0 };
        let case = cross_entropy(seed, &cases::cross_entropy_case(seed, 70, 12), scale);
        check_as_card(device, &case);
        check_op(device, case);
    }
    let many = cross_entropy(99, &cases::cross_entropy_case(99, 200, 1000), 4.0);
    check_as_card(device, &many);
    check_op(device, many);
}

#[test]
fn a_label_that_is_no_class_makes_the_loss_nan() {
    let Some(device) = device() else { return };
    for label in [-1, 5] {
        let case =
            CrossEntropyCase { logits: [3, 5], targets: vec![0, label, 2], weighted: false, op: Default::default() };
        check_op(device, cross_entropy(0, &case, 4.0));
    }
}

/// `lib/divide.wgsl` on its own: the quotients of pairs of numbers, which stand for every index that a kernel takes apart.
#[derive(Debug)]
struct Quotient;

tilegrad::params! {
    /// What the kernel is told.
    struct Params { len: u32 }
}

impl Operation for Quotient {
    fn name(&self) -> &'static str {
        "quotient"
    }

    fn infer(&self, inputs: &[&Tensor]) -> tilegrad::Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> tilegrad::Result<()> {
        const DIVIDE: &str = include_str!("../../../shaders/lib/divide.wgsl");
        const MAIN: &str = "
            @group(0) @binding(1) var<storage, read> a: array<i32>;
            @group(0) @binding(2) var<storage, read> b: array<i32>;
            @group(0) @binding(3) var<storage, read_write> output: array<i32>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3u) {
                if id.x >= params.len { return; }
                output[id.x] = i32(divide(u32(a[id.x]), u32(b[id.x])));
            }";
        let len = lowering.output_len(0);
        let (a, b, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let kernel = Kernel::new("quotient", &[Source::new("divide.wgsl", DIVIDE), Source::new("main", MAIN)]);
        lowering.push(
            Dispatch::new(kernel, &Params { len: len as u32 }, Extent::Invocations(len))
                .bind("a", a)
                .bind("b", b)
                .bind("output", output),
        );
        Ok(())
    }
}

impl Twin for Quotient {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for ((y, a), b) in outputs.ints(0).iter_mut().zip(inputs.ints(0)).zip(inputs.ints(1)) {
            *y = a / b;
        }
    }
}

#[test]
fn quotients_are_exact() {
    let Some(device) = device() else { return };
    let rng = Rng::new(1, "quotients");
    let (mut a, mut b) = (Vec::new(), Vec::new());
    // Numbers of every magnitude, and multiples with their neighbours, where a rounding would show.
    for i in 0..60_000 {
        let divisor = (rng.words(i)[0] >> (1 + rng.words(i)[1] % 31)).max(1) as i32;
        let value = (rng.words(i)[2] >> (1 + rng.words(i)[3] % 31)) as i32;
        let multiple = value / divisor * divisor;
        for near in [value, multiple, multiple.saturating_sub(1).max(0), multiple.saturating_add(1)] {
            a.push(near);
            b.push(divisor);
        }
    }
    a.extend([i32::MAX, i32::MAX, i32::MAX, 0]);
    b.extend([1, 2, i32::MAX, 7]);
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("a", Spec::i32([a.len()])).unwrap();
    let y = tape.input("b", Spec::i32([b.len()])).unwrap();
    let output = tape.append("quotient", Quotient, &[x, y], &[]).unwrap()[0];
    check_op(
        device,
        Case {
            label: "divide".into(),
            tape,
            inputs: vec![("a", Value::Int(a)), ("b", Value::Int(b))],
            outputs: vec![(output, Tolerance::Exact)],
        },
    );
}
