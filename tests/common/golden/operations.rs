//! The golden values of the operations beside convolution and pooling; `tests/golden/operations.py` says what the file holds.

use serde_json::Value as Json;
use tilegrad::graph::{Spec, Tape, TensorId};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::softmax_cross_entropy::Reduction;
use tilegrad::shape::Shape;
use tilegrad::twin::Value;

use super::{Case, Machine, OPERATION, Trial, cases, float, floats, pair, sizes};

fn whole(json: &Json) -> isize {
    json.as_i64().unwrap() as isize
}

fn four(json: &Json) -> [isize; 4] {
    json.as_array().unwrap().iter().map(whole).collect::<Vec<_>>().try_into().unwrap()
}

fn dim(json: &Json) -> Dim {
    match json.as_str().unwrap() {
        "all" => Dim::All,
        "spatial" => Dim::Spatial,
        "all but batch" => Dim::AllButBatch,
        other => panic!("{other} is no dim"),
    }
}

fn reduction(json: &Json) -> Reduction {
    if json == "mean" { Reduction::Mean } else { Reduction::Sum }
}

/// The operation that a case names, of these operands; nll_loss has its targets and class weights after them.
fn apply(tape: &mut Tape, case: &Case, ids: &[TensorId]) -> tilegrad::Result<TensorId> {
    let (name, with) = (case.name.as_str(), &case.json["attributes"]);
    let number = |key: &str| float(&with[key]) as f32;
    match case.json["op"].as_str().unwrap() {
        "mul" => tape.mul(name, ids[0], ids[1]),
        "sub" => tape.sub(name, ids[0], ids[1]),
        "scale" => tape.scale(name, ids[0], number("factor")),
        "leaky_relu" => tape.leaky_relu(name, ids[0], number("negative_slope")),
        "gelu" if with["approximate"] == "tanh" => tape.gelu(name, ids[0], Approximate::Tanh),
        "gelu" => tape.gelu(name, ids[0], Approximate::None),
        "silu" => tape.activation(name, Activation::Silu, ids[0]),
        "concat" => tape.concat(name, ids),
        "narrow" => tape.narrow(name, ids[0], whole(&with["start"]) as usize, whole(&with["length"]) as usize),
        "sum" => tape.sum(name, ids[0], dim(&with["dim"])),
        "mean" => tape.mean(name, ids[0], dim(&with["dim"])),
        "zero_pad2d" => tape.zero_pad2d(name, ids[0], four(&with["padding"])),
        "upsample" => tape.upsample(name, ids[0], pair(&with["scale_factor"])),
        "mse_loss" => tape.mse_loss(name, ids[0], ids[1], reduction(&with["reduction"])),
        "log_softmax" => tape.log_softmax(name, ids[0]),
        "nll_loss" => {
            let op =
                NllLoss { reduction: reduction(&with["reduction"]), ignore_index: whole(&with["ignore_index"]) as i32 };
            Ok(tape.nll_loss(name, ids[0], ids[1], ids.get(2).copied(), op)?.loss)
        }
        other => panic!("{other} is no operation"),
    }
}

/// Every case of operations.json: the output, and the gradients by all operands.
pub fn operations(machine: &mut dyn Machine) {
    for case in cases("operations") {
        let (json, mut trial) = (&case.json, Trial::new());
        let bound = float(&json["bound"]) as f32;
        let mut wanted = Vec::new();
        for (name, shape) in ["operand0", "operand1", "operand2"].into_iter().zip(json["shapes"].as_array().unwrap()) {
            let spec = Spec::f32(Shape::new(sizes(shape)));
            let mut values = case.values(name, bound, spec.shape.len());
            if let Some(special) = json.get("special").filter(|_| wanted.is_empty()) {
                values.iter_mut().zip(floats(special)).for_each(|(x, special)| *x = special as f32);
            }
            wanted.push(trial.real(name, spec, values));
        }
        let mut ids = wanted.clone();
        if let Some(targets) = json.get("targets") {
            let shape = sizes(&json["shapes"][0]);
            let spec = Spec::i32(Shape::new([&shape[..1], &shape[2..]].concat()));
            ids.push(trial.tape.input("target", spec).unwrap());
            let targets = targets.as_array().unwrap().iter().map(|target| whole(target) as i32).collect();
            trial.values.push(("target", Value::Int(targets)));
            if json["weighted"].as_bool().unwrap() {
                let weights = case.values("weight", 0.75, shape[1]).into_iter().map(|w| w + 1.0).collect();
                ids.push(trial.real("weight", Spec::f32([shape[1]]), weights));
            }
        }
        let output = apply(&mut trial.tape, &case, &ids).unwrap();
        let shape = sizes(&json["output"]["shape"]);
        assert_eq!(trial.tape.shape(output).dims(), shape, "{}", case.name);
        let values = case.values("grad_output", 1.0, shape.iter().product());
        let seed = trial.real("grad_output", Spec::f32(Shape::new(shape)), values);
        let results = trial.run(machine, output, seed, &wanted);
        case.compare("output", &results[0], &json["output"], OPERATION);
        for (values, expected) in results[1..].iter().zip(json["grads"].as_array().unwrap()) {
            case.compare("gradient", values, expected, OPERATION);
        }
    }
}
