//! The golden values of whole networks with batch norm; `tests/golden/networks.py` says what the file holds.

use std::collections::HashMap;

use serde_json::Value as Json;
use tilegrad::graph::{Purpose, Role, Spec, Stage, Tape, TensorId};
use tilegrad::nn::Module;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Rates, Sgd};
use tilegrad::twin::Value;

use super::{Case, Machine, cases, float, floats, sizes};

/// Of logits, as a part of the largest.
const LOGITS: f64 = 1e-4;
/// Of a loss, relative.
const LOSS: f64 = 1e-4;
/// Of gradients, as a part of the layer's largest; of running statistics and parameters, as a part of their largest.
const NETWORK: f64 = 1e-3;
/// Of single elements of a gradient where sums may round otherwise. Among the two million inputs of ResNet-18's relus one or two
/// lie so near to 0 that the last bit decides which side they are on, and each decides a hundredth of its channel's gradients: an
/// H100 had 0.5% in one element. Norms and sums stay within [`NETWORK`].
const ONE_RELU: f64 = 1e-2;

/// The values that the case gives a parameter before the first step.
fn first_values(case: &Case) -> Vec<(String, Vec<f32>)> {
    let parameter = |json: &Json| {
        let name = json["name"].as_str().unwrap();
        let (bound, offset) = (float(&json["bound"]) as f32, float(&json["offset"]) as f32);
        let values = case.values(name, bound, sizes(&json["shape"]).iter().product());
        (name.to_string(), values.into_iter().map(|v| v + offset).collect())
    };
    case.json["parameters"].as_array().unwrap().iter().map(parameter).collect()
}

/// The largest gradient that is stored of each layer. The bias of a convolution before a batch norm has none but noise,
/// because the norm takes out what it adds: such a gradient is held against those of its layer's weight.
fn layer_scales(grads: &Json) -> HashMap<&str, f64> {
    let mut scales = HashMap::new();
    for (name, grad) in grads.as_object().unwrap() {
        let scale: &mut f64 = scales.entry(layer(name)).or_default();
        *scale = floats(&grad["values"]).iter().fold(*scale, |m, v| m.max(v.abs()));
    }
    scales
}

fn layer(parameter: &str) -> &str {
    parameter.rsplit_once('.').expect("a parameter belongs to a layer").0
}

/// Holds the buffers of the machine against those at `expected` and returns them.
fn compare_buffers(machine: &mut dyn Machine, case: &Case, when: &str) -> Vec<(String, Value<f32>)> {
    let expected = case.json[when].as_object().unwrap();
    let read = |(name, expected): (&String, &Json)| {
        let value = machine.buffer(name);
        let label = format!("{when}/{name}");
        match &value {
            Value::Real(values) => case.compare(&label, values, expected, NETWORK),
            Value::Int(counter) => assert_eq!(counter[..], [expected.as_i64().unwrap() as i32], "{label}"),
            Value::Bytes(_) => panic!("{label} has bytes"),
        }
        (name.clone(), value)
    };
    expected.iter().map(read).collect()
}

/// A case of networks.json: logits, gradients and running statistics of the first of five steps, every loss, parameters and
/// running statistics at the end; then logits in evaluation mode, of the first parameters and the first step's statistics.
pub fn network(machine: &mut dyn Machine, name: &str, model: &dyn Module) {
    let named = |case: &Case| case.name.split(' ').next() == Some(name);
    let case = cases("networks").into_iter().find(named).expect("the network has a case");
    let json = &case.json;
    let batch = json["batch"].as_u64().unwrap() as usize;
    let number = |key: &str| json[key].as_f64().unwrap();
    let parameters = first_values(&case);
    let images = |step: usize| Value::Real(case.values(&format!("input{step}"), 1.0, batch * 3 * 32 * 32));

    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("images", Spec::f32([batch, 3, 32, 32])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let logits = model.forward(&mut tape, input).unwrap();
    let op = SoftmaxCrossEntropy::default();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, op).unwrap().loss;
    let (lr, momentum) = (number("lr"), number("momentum"));
    let sgd = Sgd::new(lr).momentum(momentum).weight_decay(number("weight_decay")).nesterov(true);
    sgd.minimize(&mut tape, loss).unwrap();
    tape.keep(logits);
    tape.keep(loss);
    let named = |(id, gradient): (TensorId, TensorId)| (tape.tensor(id).name.clone(), gradient);
    let gradients: Vec<(String, TensorId)> = tape.gradients().into_iter().map(named).collect();
    assert_eq!(gradients.len(), parameters.len(), "every parameter has a gradient");
    let buffers = tape.tensors().iter().filter(|tensor| matches!(tensor.role, Role::Buffer { .. })).count();
    assert_eq!(buffers, json["running_first"].as_object().unwrap().len(), "every buffer is in the file");
    let losses = floats(&json["losses"]);
    let hyperparameters: Vec<_> =
        (0..losses.len()).map(|_step| sgd.hyperparameters(&tape, Rates { lr, momentum })).collect();

    machine.load(tape, &parameters);
    let mut first_buffers = Vec::new();
    for (step, (hyperparameters, expected)) in hyperparameters.into_iter().zip(losses).enumerate() {
        machine.write("images", images(step));
        machine.write("target", Value::Int(case.classes(&format!("target{step}"), batch, 10)));
        for (name, values) in hyperparameters {
            machine.write(&name, Value::Real(values.to_vec()));
        }
        machine.run(&[Stage::Forward, Stage::Backward, Stage::Update]);
        if step == 0 {
            case.compare("logits", &machine.read(logits), &json["logits"], LOGITS);
            let (grads, scales) = (&json["grads"], layer_scales(&json["grads"]));
            for (name, gradient) in &gradients {
                let actual = machine.read(*gradient);
                let label = format!("{name}.grad");
                let of_elements = if machine.rounds_otherwise() { ONE_RELU } else { NETWORK };
                case.compare_gradient(&label, &actual, &grads[name], [of_elements, NETWORK], scales[layer(name)]);
            }
            first_buffers = compare_buffers(machine, &case, "running_first");
        }
        let actual = f64::from(machine.read(loss)[0]);
        let room = LOSS * expected;
        assert!((actual - expected).abs() <= room, "{name}: loss {step} is {actual}, PyTorch has {expected}");
    }
    for (name, _) in &parameters {
        let actual = machine.parameter(name);
        case.compare(&format!("{name} at the end"), &actual, &json["params"][name], NETWORK);
    }
    compare_buffers(machine, &case, "running_last");

    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("images", Spec::f32([batch, 3, 32, 32])).unwrap();
    let logits = model.forward(&mut tape, input).unwrap();
    tape.keep(logits);
    machine.load(tape, &parameters);
    // No evaluation reads a counter, and a device does not place what nothing reads.
    for (name, value) in first_buffers.into_iter().filter(|(_, value)| matches!(value, Value::Real(_))) {
        machine.set_buffer(&name, value);
    }
    machine.write("images", images(0));
    machine.run(&[Stage::Forward]);
    case.compare("eval_logits", &machine.read(logits), &json["eval_logits"], LOGITS);
}
