//! clip.json, PyTorch's clipped gradients, as a check of whatever runs tapes; `tests/golden/clip.py` says what is in it.

use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::ops::clip_grad_norm::GRAD_NORM;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, ParamGroup, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{Layout, Shape};
use tilegrad::twin::Value;

use super::{Case, Machine, UPDATE, cases, float, floats, sizes};

/// Of a norm, relative.
const NORM: f64 = 1e-6;

impl Case {
    fn near(&self, what: &str, actual: f64, expected: f64) {
        let same = actual == expected || (actual.is_nan() && expected.is_nan());
        let close = (actual - expected).abs() <= NORM * expected.abs();
        assert!(same || close, "{}: {what} is {actual}, PyTorch has {expected}", self.name);
    }
}

/// The loss of a classifier whose weight, or whose bias, is the parameter `name`: something that has its gradient.
fn loss_of(tape: &mut Tape, name: &str, shape: &[usize]) -> TensorId {
    let parameter = tape.parameter(name, Shape::new(shape), Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let columns = shape.get(1).copied().unwrap_or(1);
    let x = tape.input(&format!("{name}.x"), Spec::f32([1, columns])).unwrap();
    let logits = if shape.len() == 2 {
        tape.linear(name, x, parameter, None).unwrap()
    } else {
        let weight = tape.input(&format!("{name}.weight"), Spec::f32([shape[0], 1])).unwrap();
        tape.linear(name, x, weight, Some(parameter)).unwrap()
    };
    let target = tape.input(&format!("{name}.target"), Spec::i32([1])).unwrap();
    tape.softmax_cross_entropy(name, logits, target, None, SoftmaxCrossEntropy::default()).unwrap().loss
}

/// Every case: a few steps whose gradients are clipped, and their norms.
pub fn check(machine: &mut dyn Machine) {
    for case in cases("clip") {
        let limit = case.json["limit"].as_f64().unwrap();
        let mut sgd = Sgd::new(0.1).momentum(0.9).weight_decay(0.01);
        sgd = match case.json["clip"].as_str().unwrap() {
            "norm" => sgd.clip_grad_norm(limit),
            _ => sgd.clip_grad_value(limit),
        };
        sgd = sgd.group(ParamGroup::new(|name| name.ends_with("_b")).lr_factor(0.5));

        let (mut tape, mut total, mut parameters) = (Tape::new(Purpose::Train), None, Vec::new());
        for (i, tensor) in case.json["tensors"].as_array().unwrap().iter().enumerate() {
            let shape = sizes(&tensor["shape"]);
            let name = format!("p{i}{}", if tensor["group"] == 1 { "_b" } else { "" });
            let loss = loss_of(&mut tape, &name, &shape);
            total = Some(total.map_or(loss, |total| tape.add("sum", total, loss).unwrap()));
            parameters.push((name, case.values(&format!("param{i}"), 1.0, shape.iter().product())));
        }
        sgd.minimize(&mut tape, total.unwrap()).unwrap();
        let gradients: Vec<TensorId> = parameters
            .iter()
            .map(|(name, _)| tape.gradients().into_iter().find(|(of, _)| tape.tensor(*of).name == *name).unwrap().1)
            .collect();
        let bounds = floats(&case.json["bounds"]);
        let hyperparameters: Vec<_> = (0..bounds.len()).map(|_t| sgd.hyperparameters(&tape, sgd.rates())).collect();
        let (norms, clipped) = (floats(&case.json["norms"]), floats(&case.json["clipped"]));

        machine.load(tape, &parameters);
        for (t, (bound, hyperparameters)) in bounds.into_iter().zip(hyperparameters).enumerate() {
            for (name, values) in hyperparameters {
                machine.write(&name, Value::Real(values.to_vec()));
            }
            machine.run(&[Stage::Forward, Stage::Backward]);
            let mut gradient_values = Vec::new();
            for (i, ((_, first), &gradient)) in parameters.iter().zip(&gradients).enumerate() {
                let mut values = case.values(&format!("grad{t}.{i}"), bound as f32, first.len());
                for special in case.json["special"].as_array().unwrap() {
                    let place: Vec<usize> = (0..3).map(|k| special[k].as_u64().unwrap() as usize).collect();
                    if place[..2] == [t, i] {
                        values[place[2]] = float(&special[3]) as f32;
                    }
                }
                gradient_values.extend(values.iter().map(|&g| f64::from(g)));
                machine.replace(gradient, &values);
            }
            machine.run(&[Stage::Update]);
            for (i, (name, _)) in parameters.iter().enumerate() {
                let expected = &case.json["params"][t][i];
                case.compare(&format!("{name} after step {t}"), &machine.parameter(name), expected, UPDATE);
            }
            if let Some(&norm) = norms.get(t) {
                let [actual, factor] = machine.state(GRAD_NORM)[..] else { panic!("norm and factor") };
                case.near(&format!("norm {t}"), f64::from(actual), norm);
                // The largest, or NaN if there is one, as torch.max has it.
                let products = gradient_values.iter().map(|g| f64::from(factor) * g);
                let largest = products.fold(f64::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b });
                case.near(&format!("largest of step {t}"), largest, clipped[t]);
            }
        }
    }
}
