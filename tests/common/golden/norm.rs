//! The golden values of batch norm, dropout, adaptive pooling, depthwise convolution and what fans out;
//! `tests/golden/norm_ops.py` says what the file holds.

use serde_json::Value as Json;
use tilegrad::graph::{Purpose, RANDOM, Spec, Stage, Tape, TensorId};
use tilegrad::ops::batch_norm2d::{BatchNorm2dAttributes, Running};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::rng;
use tilegrad::shape::{DType, Layout, Shape};
use tilegrad::twin::Value;

use super::{Case, Machine, OPERATION, Trial, cases, float, floats, pair, sizes};

/// Every case of norm_ops.json.
pub fn norm_ops(machine: &mut dyn Machine) {
    for case in cases("norm_ops") {
        match case.json["op"].as_str().unwrap() {
            "batch_norm2d" => batch_norm(machine, &case, true),
            "batch_norm2d_eval" => batch_norm(machine, &case, false),
            "dropout" => dropout(machine, &case),
            op => operation(machine, &case, op),
        }
    }
}

fn batch_norm(machine: &mut dyn Machine, case: &Case, training: bool) {
    let json = &case.json;
    let shape = sizes(&json["shape"]);
    let (len, channels) = (shape.iter().product(), shape[1]);
    let with = &json["attributes"];
    let default = BatchNorm2dAttributes::default();
    let op = BatchNorm2dAttributes {
        eps: with.get("eps").map_or(default.eps, float),
        momentum: with.get("momentum").map_or(default.momentum, Json::as_f64),
    };

    let mut tape = Tape::new(if training { Purpose::Train } else { Purpose::Evaluate });
    let spec = Spec::f32(Shape::new(shape));
    let input = tape.input("input", spec.clone()).unwrap();
    let affine = json["affine"].as_bool().unwrap().then(|| {
        let of = |tape: &mut Tape, name: &str| tape.input(name, Spec::f32([channels])).unwrap();
        (of(&mut tape, "weight"), of(&mut tape, "bias"))
    });
    let running = Running {
        mean: tape.buffer("running_mean", [channels], DType::F32, 0.0).unwrap(),
        var: tape.buffer("running_var", [channels], DType::F32, 1.0).unwrap(),
        batches: tape.buffer("num_batches_tracked", [1], DType::I32, 0.0).unwrap(),
    };
    let output = tape.batch_norm2d(&case.name, input, affine, running, op).unwrap();
    let seed = tape.input("grad_output", spec).unwrap();
    let wanted: Vec<TensorId> = [input].into_iter().chain(affine.into_iter().flat_map(|(w, b)| [w, b])).collect();
    let gradients = tape.gradients_of(&[(output, seed)], &wanted).unwrap();
    let read: Vec<TensorId> = [output].into_iter().chain(wanted.iter().map(|id| gradients[id])).collect();
    read.iter().for_each(|&id| tape.keep(id));

    machine.load(tape, &[]);
    if affine.is_some() {
        let weight = case.values("weight", 0.5, channels).into_iter().map(|w| 1.0 + w).collect();
        machine.write("weight", Value::Real(weight));
        machine.write("bias", Value::Real(case.values("bias", 1.0, channels)));
    }
    if !training {
        machine.set_buffer("running_mean", Value::Real(case.values("running_mean", 1.0, channels)));
        let var = case.values("running_var", 1.0, channels).into_iter().map(|v| 1.25 + v).collect();
        machine.set_buffer("running_var", Value::Real(var));
    }
    machine.write("grad_output", Value::Real(case.values("grad_output", 1.0, len)));
    for step in 0..if training { 3 } else { 1 } {
        let mut values = case.values(&format!("input{step}"), 2.0, len);
        sizes(&json["nan"]).into_iter().for_each(|i| values[i] = f32::NAN);
        machine.write("input", Value::Real(values));
        machine.run(&[Stage::Forward, Stage::Backward]);
    }
    let expected = [&json["output"]].into_iter().chain(json["grads"].as_array().unwrap());
    for ((id, expected), x) in read.into_iter().zip(expected).zip(["output", "grad_input", "grad_weight", "grad_bias"])
    {
        case.compare(x, &machine.read(id), expected, OPERATION);
    }
    if training {
        for x in ["running_mean", "running_var"] {
            case.compare(x, machine.buffer(x).real(), &json[x], OPERATION);
        }
        let tracked = json["num_batches_tracked"].as_i64().unwrap() as i32;
        assert_eq!(machine.buffer("num_batches_tracked"), Value::Int(vec![tracked]), "{}", case.name);
    }
}

/// No mask is PyTorch's, so ours is read off the output: what it keeps has PyTorch's factor in both directions, and what it
/// drops PyTorch's zeros, or NaN.
fn dropout(machine: &mut dyn Machine, case: &Case) {
    let json = &case.json;
    let p = float(&json["attributes"]["p"]);
    let spec = Spec::f32(Shape::new(sizes(&json["shape"])));
    let len = spec.shape.len();
    let inputs = case.values("input", 1.0, len);
    let grads = case.values("grad_output", 1.0, len);
    let mut run = |inputs: &[f32]| {
        let mut trial = Trial::new();
        let input = trial.real("input", spec.clone(), inputs.to_vec());
        let output = trial.tape.dropout("drop", input, p).unwrap();
        let seed = trial.real("grad_output", spec.clone(), grads.clone());
        trial.values.push((RANDOM, Value::Int(rng::draw(1, 0).to_vec())));
        trial.run(machine, output, seed, &[input])
    };
    let kept: Vec<bool> = run(&vec![1.0; len])[0].iter().map(|&y| y != 0.0).collect();
    let share = kept.iter().filter(|&&kept| kept).count() as f64 / len as f64;
    let room = 4.0 * (p * (1.0 - p) / len as f64).sqrt();
    assert!((share - (1.0 - p)).abs() <= room, "{}: {share} of {len} are kept", case.name);

    let near = |label: &str, actual: f32, expected: f32| {
        let close = (actual - expected).abs() <= 1e-6 * expected.abs();
        assert!(close, "{}: {label} {actual}, PyTorch has {expected}", case.name);
    };
    let factor = |key: &str| json[key].as_f64().unwrap() as f32;
    let results = run(&inputs);
    for i in 0..len {
        let (output, grad) = match kept[i] {
            true => (inputs[i] * factor("kept"), grads[i] * factor("kept_grad")),
            false => (0.0, 0.0),
        };
        near("output", results[0][i], output);
        near("gradient", results[1][i], grad);
    }
    for (i, y) in run(&vec![f32::NAN; len])[0].iter().enumerate().filter(|(i, _)| !kept[*i]) {
        assert!(y.is_nan() && json["dropped_nan"] == "nan", "{}: a dropped NaN is {y} at {i}", case.name);
    }

    // In evaluation nothing is appended, so the output is the input itself.
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", spec).unwrap();
    assert_eq!(tape.dropout("drop", input, p).unwrap(), input, "{}", case.name);
    case.compare("eval", &inputs, &json["eval"], OPERATION);
}

/// The operation that a case names, of these operands.
fn apply(tape: &mut Tape, case: &Case, op: &str, ids: &[TensorId]) -> tilegrad::Result<TensorId> {
    let (name, with) = (case.name.as_str(), &case.json["attributes"]);
    match op {
        "relu" => tape.relu(name, ids[0]),
        "sigmoid" => tape.sigmoid(name, ids[0]),
        "tanh" => tape.tanh(name, ids[0]),
        // By 1, since a device does not place a gradient that no kernel reads.
        "add" => {
            let sum = tape.add(name, ids[0], ids[1])?;
            tape.scale("one", sum, 1.0)
        }
        "add of itself" => tape.add(name, ids[0], ids[0]),
        "mul by itself" => tape.mul(name, ids[0], ids[0]),
        "adaptive_avg_pool2d" => tape.adaptive_avg_pool2d(name, ids[0], pair(&with["size"])),
        "conv2d" => {
            let [pad_h, pad_w] = pair(&with["padding"]);
            let conv = Conv2dAttributes {
                stride: pair(&with["stride"]),
                padding: [pad_h, pad_h, pad_w, pad_w],
                dilation: pair(&with["dilation"]),
                groups: with["groups"].as_u64().unwrap() as usize,
            };
            tape.conv2d(name, ids[0], ids[1], ids.get(2).copied(), conv)
        }
        "residual" => {
            let conv = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
            let x = tape.conv2d("conv", ids[0], ids[1], None, conv)?;
            let sum = tape.add("add", x, ids[0])?;
            tape.relu("relu", sum)
        }
        other => panic!("{other} is no operation"),
    }
}

fn operation(machine: &mut dyn Machine, case: &Case, op: &str) {
    let (json, mut trial) = (&case.json, Trial::new());
    let bound = float(&json["bound"]) as f32;
    let mut wanted = Vec::new();
    for (i, (name, shape)) in
        ["operand0", "operand1", "operand2"].into_iter().zip(json["shapes"].as_array().unwrap()).enumerate()
    {
        let mut spec = Spec::f32(Shape::new(sizes(shape)));
        if i == 1 && ["conv2d", "residual"].contains(&op) {
            spec.layout = Layout::Hwio;
        }
        let mut values = case.values(name, bound, spec.shape.len());
        if i == 0 {
            values.iter_mut().zip(floats(&json["special"])).for_each(|(x, special)| *x = special as f32);
        }
        wanted.push(trial.real(name, spec, values));
    }
    let output = apply(&mut trial.tape, case, op, &wanted).unwrap();
    let shape = sizes(&json["output"]["shape"]);
    assert_eq!(trial.tape.shape(output).dims(), shape, "{}", case.name);
    let values = case.values("grad_output", 1.0, shape.iter().product());
    let seed = trial.real("grad_output", Spec::f32(Shape::new(shape)), values);
    let results = trial.run(machine, output, seed, &wanted);
    case.compare("output", &results[0], &json["output"], OPERATION);
    for (i, (values, expected)) in results[1..].iter().zip(json["grads"].as_array().unwrap()).enumerate() {
        case.compare(&format!("gradient {i}"), values, expected, OPERATION);
    }
}
