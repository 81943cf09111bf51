//! The golden values of losses whose logits are infinite, NaN or huge; `tests/golden/extreme.py` says what the file holds.

use serde_json::{Value as Json, json};
use tilegrad::graph::{Spec, TensorId};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::twin::Value;

use super::{Case, Machine, OPERATION, Trial, cases, floats};

/// The form in which a case is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Loss and gradient in one kernel, where the plan fuses them.
    Fused,
    /// A gradient of the loss that is not known to be 1.
    Apart,
    /// A row per pixel.
    Pixels,
    /// log_softmax, then nll_loss.
    Nll,
}

fn numbers(json: &Json) -> Vec<f32> {
    floats(json).into_iter().map(|x| x as f32).collect()
}

/// [rows, classes] as [1, classes, rows, 1].
fn transposed(values: &[f32], classes: usize) -> Vec<f32> {
    (0..classes).flat_map(|class| values.iter().skip(class).step_by(classes).copied()).collect()
}

/// Loss and gradient of a case.
fn results(machine: &mut dyn Machine, case: &Case, form: Form) -> Vec<Vec<f32>> {
    let (json, mut trial) = (&case.json, Trial::new());
    let targets: Vec<i32> = floats(&json["targets"]).into_iter().map(|t| t as i32).collect();
    let (rows, values) = (targets.len(), numbers(&json["logits"]));
    let classes = values.len() / rows;
    let (logits, target) = if form == Form::Pixels {
        let logits = trial.real("logits", Spec::f32([1, classes, rows, 1]), transposed(&values, classes));
        (logits, trial.tape.input("target", Spec::i32([1, rows, 1])).unwrap())
    } else {
        let logits = trial.real("logits", Spec::f32([rows, classes]), values);
        (logits, trial.tape.input("target", Spec::i32([rows])).unwrap())
    };
    trial.values.push(("target", Value::Int(targets)));
    let weight: Option<TensorId> =
        (!json["weight"].is_null()).then(|| trial.real("weight", Spec::f32([classes]), numbers(&json["weight"])));
    let reduction = if json["reduction"] == "mean" { Reduction::Mean } else { Reduction::Sum };
    let ignore_index = json["ignore_index"].as_i64().unwrap() as i32;
    let loss = if form == Form::Nll {
        let log_probs = trial.tape.log_softmax("log_softmax", logits).unwrap();
        let op = NllLoss { reduction, ignore_index };
        trial.tape.nll_loss("loss", log_probs, target, weight, op).unwrap().loss
    } else {
        let label_smoothing = json["label_smoothing"].as_f64().unwrap() as f32;
        let op = SoftmaxCrossEntropy { reduction, ignore_index, label_smoothing };
        trial.tape.softmax_cross_entropy("loss", logits, target, weight, op).unwrap().loss
    };
    let seed = match form {
        Form::Apart => trial.real("grad_output", Spec::f32([1]), vec![1.0]),
        _ => trial.tape.constant(1.0),
    };
    let mut results = trial.run(machine, loss, seed, &[logits]);
    if form == Form::Pixels {
        results[1] = transposed(&results[1], rows);
    }
    results
}

/// Every case of extreme.json, in all forms that compute it.
pub fn extreme(machine: &mut dyn Machine) {
    for case in cases("extreme") {
        for form in [Form::Fused, Form::Apart, Form::Pixels, Form::Nll] {
            if form == Form::Nll && case.json["label_smoothing"] != 0.0 {
                continue;
            }
            let results = results(machine, &case, form);
            let loss = json!({ "shape": [1], "values": [case.json["loss"]] });
            case.compare(&format!("{form:?}/loss"), &results[0], &loss, OPERATION);
            let len = results[1].len();
            let grad = json!({ "shape": [len], "values": case.json["grad_logits"] });
            case.compare(&format!("{form:?}/grad_logits"), &results[1], &grad, OPERATION);
        }
    }
}
