//! The golden values from PyTorch as checks of whatever runs tapes: the reference executor, or a device.
//!
//! `tests/golden/generate.py` says what the files hold and how their inputs are made again from [`tilegrad::rng`].

pub mod clip;
pub mod extreme;
pub mod networks;
pub mod norm;
pub mod operations;

use serde_json::Value as Json;
use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::optim::{Optimizer, ParamGroup, Rates, Sgd};
use tilegrad::rng::{Init, Rng};
use tilegrad::shape::{Layout, Shape};
use tilegrad::twin::Value;

/// What runs tapes. Tensors that a check reads are kept on the tape; a failure of the machine is a panic.
pub trait Machine {
    /// Takes a tape and the first values of its parameters; inputs and momentum buffers are zero.
    fn load(&mut self, tape: Tape, parameters: &[(String, Vec<f32>)]);
    /// Writes the input called `name`.
    fn write(&mut self, name: &str, value: Value<f32>);
    /// Runs these stages of the tape.
    fn run(&mut self, stages: &[Stage]);
    /// The values of a kept tensor or of a parameter's gradient, in PyTorch's order.
    fn read(&mut self, id: TensorId) -> Vec<f32>;
    /// Replaces a parameter's gradient between the backward and the update stage.
    fn replace(&mut self, gradient: TensorId, values: &[f32]);
    /// The values of the parameter called `name`.
    fn parameter(&mut self, name: &str) -> Vec<f32>;
    /// The momentum buffer of the parameter called `name`.
    fn momentum(&mut self, name: &str) -> Vec<f32>;
    /// The numbers of the state called `name`.
    fn state(&mut self, name: &str) -> Vec<f32>;
    /// The values of the model's buffer called `name`.
    fn buffer(&mut self, name: &str) -> Value<f32>;
    /// Sets the model's buffer called `name`.
    fn set_buffer(&mut self, name: &str, value: Value<f32>);
    /// True if a network's sums may differ in their last bits from those the golden values were held against when they were made.
    fn rounds_otherwise(&self) -> bool {
        false
    }
}

const SEED: u64 = 1;
/// Of one operation's results, as a part of the largest.
pub const OPERATION: f64 = 1e-5;
/// Of a loss, relative.
const LOSS: f64 = 1e-5;
/// Of a network's gradients and parameters, as a part of the largest.
const NETWORK: f64 = 1e-4;
/// Of parameters and momentum buffers after a few updates, as a part of the largest.
pub const UPDATE: f64 = 1e-6;

/// A case of a golden file.
pub struct Case {
    file: &'static str,
    pub name: String,
    pub json: Json,
}

/// The folder of the golden files: `golden` beside the test program where there is one, as in a pack for another machine, or
/// the checkout's.
fn folder() -> std::path::PathBuf {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("golden")));
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    beside.filter(|folder| folder.is_dir()).unwrap_or_else(|| checkout.into())
}

pub fn cases(file: &'static str) -> Vec<Case> {
    let path = format!("{}/{file}.json", folder().display());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let cases = json["cases"].as_array().unwrap_or_else(|| panic!("{path}: no cases"));
    assert!(!cases.is_empty(), "{path}: no cases");
    let case = |json: &Json| Case { file, name: json["name"].as_str().unwrap().to_string(), json: json.clone() };
    cases.iter().map(case).collect()
}

pub fn sizes(json: &Json) -> Vec<usize> {
    json.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

pub fn pair(json: &Json) -> [usize; 2] {
    sizes(json).try_into().unwrap()
}

/// A number, or one of the three that JSON has no number for.
pub fn float(json: &Json) -> f64 {
    match json.as_str() {
        None => json.as_f64().unwrap(),
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some(other) => panic!("{other} is no number"),
    }
}

pub fn floats(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(float).collect()
}

impl Case {
    /// The name of the stream of random numbers that fills the tensor `x`, and of the tensor in messages.
    fn stream(&self, x: &str) -> String {
        format!("{}/{}/{x}", self.file, self.name)
    }

    pub fn values(&self, x: &str, bound: f32, len: usize) -> Vec<f32> {
        Init::Uniform(bound).values(SEED, &self.stream(x), len)
    }

    pub fn classes(&self, x: &str, len: usize, classes: u32) -> Vec<i32> {
        let rng = Rng::new(SEED, &self.stream(x));
        (0..len as u64).map(|i| rng.below(i, classes) as i32).collect()
    }

    /// Holds `actual` against the tensor at `expected` of the case.
    pub fn compare(&self, x: &str, actual: &[f32], expected: &Json, tolerance: f64) {
        self.compare_beside(x, actual, expected, tolerance, f64::MIN_POSITIVE);
    }

    /// As [`Case::compare`], where `scale` takes the place of a largest value or a norm that is smaller.
    pub fn compare_beside(&self, x: &str, actual: &[f32], expected: &Json, tolerance: f64, scale: f64) {
        self.compare_gradient(x, actual, expected, [tolerance; 2], scale);
    }

    /// As [`Case::compare_beside`], with one tolerance of elements and one of norm and sum.
    pub fn compare_gradient(&self, x: &str, actual: &[f32], expected: &Json, tolerances: [f64; 2], scale: f64) {
        let [of_elements, tolerance] = tolerances;
        let label = self.stream(x);
        let shape = Shape::new(sizes(&expected["shape"]));
        assert_eq!(actual.len(), shape.len(), "{label}: {shape}");
        let values = floats(&expected["values"]);
        let places = match expected.get("indices") {
            Some(indices) => sizes(indices),
            None => (0..values.len()).collect(),
        };
        assert_eq!(places.len(), values.len(), "{label}");
        let largest = values.iter().filter(|v| v.is_finite()).fold(scale, |m, v| m.max(v.abs()));
        for (&place, &expected) in places.iter().zip(&values) {
            let actual = f64::from(actual[place]);
            let close = (actual - expected).abs() <= of_elements * largest;
            let same = actual == expected || (actual.is_nan() && expected.is_nan());
            assert!(close || same, "{label}: element {place} of {shape} is {actual}, PyTorch has {expected}");
        }
        if expected.get("norm").is_some() {
            let (norm, sum) = (float(&expected["norm"]), float(&expected["sum"]));
            let numbers = || actual.iter().map(|&v| f64::from(v));
            let (actual_norm, actual_sum) = (numbers().map(|v| v * v).sum::<f64>().sqrt(), numbers().sum::<f64>());
            let room = tolerance * norm.max(scale);
            assert!((actual_norm - norm).abs() <= room, "{label}: norm {actual_norm}, PyTorch has {norm}");
            // A difference of that norm, spread evenly and all of one sign, changes the sum by as much.
            let room = room * (shape.len() as f64).sqrt();
            assert!((actual_sum - sum).abs() <= room, "{label}: sum {actual_sum}, PyTorch has {sum}");
        }
    }
}

/// One run of a tape whose operands are all inputs.
pub struct Trial {
    pub tape: Tape,
    pub values: Vec<(&'static str, Value<f32>)>,
}

impl Trial {
    pub fn new() -> Self {
        Trial { tape: Tape::new(Purpose::Train), values: Vec::new() }
    }

    pub fn real(&mut self, name: &'static str, spec: Spec, values: Vec<f32>) -> TensorId {
        self.values.push((name, Value::Real(values)));
        self.tape.input(name, spec).unwrap()
    }

    /// Appends the gradients of `output` by `wanted`, runs everything, and gives the output's values and theirs.
    pub fn run(
        mut self,
        machine: &mut dyn Machine,
        output: TensorId,
        seed: TensorId,
        wanted: &[TensorId],
    ) -> Vec<Vec<f32>> {
        let gradients = self.tape.gradients_of(&[(output, seed)], wanted).unwrap();
        let mut read = vec![output];
        read.extend(wanted.iter().map(|id| gradients[id]));
        read.iter().for_each(|&id| self.tape.keep(id));
        machine.load(self.tape, &[]);
        for (name, value) in self.values {
            machine.write(name, value);
        }
        machine.run(&[Stage::Forward, Stage::Backward]);
        read.into_iter().map(|id| machine.read(id)).collect()
    }
}

/// Every case of conv.json: output and the three gradients.
pub fn conv(machine: &mut dyn Machine) {
    for case in cases("conv") {
        let (json, mut trial) = (&case.json, Trial::new());
        let spec = |key: &str| Spec::f32(Shape::new(sizes(&json[key])));
        let (input, weight, output) = (spec("input_shape"), spec("weight_shape"), sizes(&json["output"]["shape"]));
        let out = weight.shape.dims()[0];
        let fill = |x: &str, spec: &Spec| case.values(x, 1.0, spec.shape.len());
        let mut wanted = vec![trial.real("input", input.clone(), fill("input", &input))];
        let weight = Spec { layout: Layout::Hwio, ..weight };
        wanted.push(trial.real("weight", weight.clone(), fill("weight", &weight)));
        if json["bias"].as_bool().unwrap() {
            wanted.push(trial.real("bias", Spec::f32([out]), case.values("bias", 1.0, out)));
        }
        let [pad_h, pad_w] = pair(&json["padding"]);
        let conv = Conv2dAttributes {
            stride: pair(&json["stride"]),
            padding: [pad_h, pad_h, pad_w, pad_w],
            dilation: pair(&json["dilation"]),
            groups: json["groups"].as_u64().unwrap() as usize,
        };
        let result = trial.tape.conv2d(&case.name, wanted[0], wanted[1], wanted.get(2).copied(), conv).unwrap();
        assert_eq!(trial.tape.shape(result).dims(), output, "{}", case.name);
        let grad_output = Spec::f32(Shape::new(output));
        let seed = trial.real("grad_output", grad_output.clone(), fill("grad_output", &grad_output));
        let results = trial.run(machine, result, seed, &wanted);
        for (x, values) in ["output", "grad_input", "grad_weight", "grad_bias"].iter().zip(results) {
            case.compare(x, &values, &json[x], OPERATION);
        }
    }
}

/// Every case of pool.json: output and gradient of max and average pooling, ties, NaN and infinities among them.
pub fn pool(machine: &mut dyn Machine) {
    for case in cases("pool") {
        let (json, mut trial) = (&case.json, Trial::new());
        let spec = Spec::f32(Shape::new(sizes(&json["input_shape"])));
        let mut values = case.values("input", 1.0, spec.shape.len());
        if json["quantised"].as_bool().unwrap() {
            values.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 4.0);
        }
        sizes(&json["nan"]).into_iter().for_each(|i| values[i] = f32::NAN);
        sizes(&json["neg_inf"]).into_iter().for_each(|i| values[i] = f32::NEG_INFINITY);
        let input = trial.real("input", spec, values);
        let (kernel, stride, padding) = (pair(&json["kernel"]), pair(&json["stride"]), pair(&json["padding"]));
        let ceil_mode = json["ceil_mode"].as_bool().unwrap();
        let result = match json["op"].as_str().unwrap() {
            "max_pool2d" => {
                let pool =
                    MaxPool2dAttributes { kernel, stride, padding, dilation: pair(&json["dilation"]), ceil_mode };
                trial.tape.max_pool2d(&case.name, input, pool)
            }
            _ => {
                let count_include_pad = json["count_include_pad"].as_bool().unwrap();
                let divisor_override = json["divisor_override"].as_u64().map(|divisor| divisor as usize);
                let pool =
                    AvgPool2dAttributes { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override };
                trial.tape.avg_pool2d(&case.name, input, pool)
            }
        }
        .unwrap();
        let output = sizes(&json["output"]["shape"]);
        assert_eq!(trial.tape.shape(result).dims(), output, "{}", case.name);
        let seed_values = case.values("grad_output", 1.0, output.iter().product());
        let seed = trial.real("grad_output", Spec::f32(Shape::new(output)), seed_values);
        let results = trial.run(machine, result, seed, &[input]);
        for (x, values) in ["output", "grad_input"].iter().zip(results) {
            case.compare(x, &values, &json[x], OPERATION);
        }
    }
}

/// Every case of cross_entropy.json: loss and gradient over reduction, class weights, smoothing and ignored targets.
pub fn cross_entropy(machine: &mut dyn Machine) {
    let (rows, classes) = (6, 5);
    for case in cases("cross_entropy") {
        let (json, mut trial) = (&case.json, Trial::new());
        let bound = json["bound"].as_f64().unwrap() as f32;
        let logits = trial.real("logits", Spec::f32([rows, classes]), case.values("logits", bound, rows * classes));
        let targets: Vec<i32> = floats(&json["targets"]).into_iter().map(|t| t as i32).collect();
        let target = trial.tape.input("target", Spec::i32([rows])).unwrap();
        trial.values.push(("target", Value::Int(targets)));
        let weight = json["class_weights"].as_bool().unwrap().then(|| {
            let weights = case.values("weight", 0.75, classes).into_iter().map(|w| w + 1.0).collect();
            trial.real("weight", Spec::f32([classes]), weights)
        });
        let op = SoftmaxCrossEntropy {
            reduction: if json["reduction"] == "mean" { Reduction::Mean } else { Reduction::Sum },
            ignore_index: json["ignore_index"].as_i64().unwrap() as i32,
            label_smoothing: json["label_smoothing"].as_f64().unwrap() as f32,
        };
        let result = trial.tape.softmax_cross_entropy(&case.name, logits, target, weight, op).unwrap();
        let one = trial.tape.constant(1.0);
        let results = trial.run(machine, result.loss, one, &[logits]);
        let expected = serde_json::json!({ "shape": [1], "values": [json["loss"]] });
        case.compare("loss", &results[0], &expected, LOSS);
        case.compare("grad_logits", &results[1], &json["grad_logits"], OPERATION);
    }
}

/// Every case of sgd.json: five updates of one or two parameter groups, and the momentum buffers after them.
pub fn sgd(machine: &mut dyn Machine) {
    for case in cases("sgd") {
        let groups = case.json["groups"].as_array().unwrap();
        let number = |group: usize, key: &str| groups[group][key].as_f64().unwrap();
        let flag = |key: &str| groups[0][key].as_bool().unwrap();
        let (lr, momentum) = (floats(&groups[0]["lr"]), floats(&groups[0]["momentum"]));
        let mut sgd = Sgd::new(lr[0])
            .momentum(momentum[0])
            .dampening(number(0, "dampening"))
            .weight_decay(number(0, "weight_decay"))
            .nesterov(flag("nesterov"))
            .maximize(flag("maximize"));
        if groups.len() > 1 {
            let factor = floats(&groups[1]["lr"])[0] / lr[0];
            let group = ParamGroup::new(|name| name.ends_with("_b"));
            sgd = sgd.group(group.lr_factor(factor).weight_decay(number(1, "weight_decay")));
        }

        // The parameters are biases of a small classifier, so that there is a loss; their gradients are then replaced.
        let suffixes: Vec<&str> = groups.iter().map(|group| group["suffix"].as_str().unwrap()).collect();
        let (mut tape, mut parameters, mut logits) = (Tape::new(Purpose::Train), Vec::new(), None);
        let x = tape.input("x", Spec::f32([1, 1])).unwrap();
        let weight = tape.input("weight", Spec::f32([7, 1])).unwrap();
        let target = tape.input("target", Spec::i32([1])).unwrap();
        for suffix in &suffixes {
            let name = format!("param{suffix}");
            let parameter = tape.parameter(&name, [7], Layout::RowMajor, Init::Constant(0.0)).unwrap();
            let y = tape.linear(&name, x, weight, Some(parameter)).unwrap();
            logits = Some(logits.map_or(y, |other| tape.add("sum", other, y).unwrap()));
            parameters.push((name.clone(), case.values(&name, 1.0, 7)));
        }
        let op = SoftmaxCrossEntropy::default();
        let loss = tape.softmax_cross_entropy("loss", logits.unwrap(), target, None, op).unwrap().loss;
        sgd.minimize(&mut tape, loss).unwrap();
        let gradients: Vec<TensorId> = parameters
            .iter()
            .map(|(name, _)| tape.gradients().into_iter().find(|(of, _)| tape.tensor(*of).name == *name).unwrap().1)
            .collect();
        let hyperparameters: Vec<_> = (0..5)
            .map(|t| {
                let _first = momentum[..t].iter().all(|&m| m == 0.0);
                sgd.hyperparameters(&tape, Rates { lr: lr[t], momentum: momentum[t] })
            })
            .collect();

        machine.load(tape, &parameters);
        for (t, hyperparameters) in hyperparameters.into_iter().enumerate() {
            for (name, values) in hyperparameters {
                machine.write(&name, Value::Real(values.to_vec()));
            }
            machine.run(&[Stage::Forward, Stage::Backward]);
            for (suffix, &gradient) in suffixes.iter().zip(&gradients) {
                machine.replace(gradient, &case.values(&format!("grad{t}{suffix}"), 1.0, 7));
            }
            machine.run(&[Stage::Update]);
            for (group, (name, _)) in groups.iter().zip(&parameters) {
                let actual = machine.parameter(name);
                case.compare(&format!("{name} after step {t}"), &actual, &group["params"][t], UPDATE);
            }
        }
        for (group, (name, _)) in groups.iter().zip(&parameters) {
            if !group["momentum_buffer"].is_null() {
                let actual = machine.momentum(name);
                case.compare(&format!("{name}.momentum_buffer"), &actual, &group["momentum_buffer"], UPDATE);
            }
        }
    }
}

/// LeNet's case `form` ("relu" or "classic") of lenet.json: logits and gradients of the first of ten steps with Nesterov's
/// momentum and weight decay, every loss, and the parameters at the end. `forward` gives logits for images, and declares
/// the parameters by PyTorch's names.
pub fn lenet(machine: &mut dyn Machine, form: &str, forward: impl FnOnce(&mut Tape, TensorId) -> TensorId) {
    let case = cases("lenet").into_iter().find(|case| case.name == form).expect("the form has a case");
    let json = &case.json;
    let batch = json["batch"].as_u64().unwrap() as usize;
    let number = |key: &str| json[key].as_f64().unwrap();
    let parameters: Vec<(String, Vec<f32>)> = json["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap();
            let len = sizes(&parameter["shape"]).iter().product();
            (name.to_string(), case.values(name, parameter["bound"].as_f64().unwrap() as f32, len))
        })
        .collect();

    let mut tape = Tape::new(Purpose::Train);
    let images = tape.input("images", Spec::f32([batch, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let logits = forward(&mut tape, images);
    let op = SoftmaxCrossEntropy::default();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, op).unwrap().loss;
    let (lr, momentum) = (number("lr"), number("momentum"));
    let sgd = Sgd::new(lr).momentum(momentum).weight_decay(number("weight_decay")).nesterov(true);
    sgd.minimize(&mut tape, loss).unwrap();
    tape.keep(logits);
    tape.keep(loss);
    let gradient = |(id, gradient): (TensorId, TensorId)| (tape.tensor(id).name.clone(), gradient);
    let gradients: Vec<(String, TensorId)> = tape.gradients().into_iter().map(gradient).collect();
    assert_eq!(gradients.len(), parameters.len(), "every parameter has a gradient");
    let hyperparameters: Vec<_> = (0..10).map(|_step| sgd.hyperparameters(&tape, Rates { lr, momentum })).collect();

    machine.load(tape, &parameters);
    let losses = floats(&json["losses"]);
    assert_eq!(losses.len(), hyperparameters.len());
    for (step, (hyperparameters, expected)) in hyperparameters.into_iter().zip(losses).enumerate() {
        machine.write("images", Value::Real(case.values(&format!("input{step}"), 1.0, batch * 28 * 28)));
        machine.write("target", Value::Int(case.classes(&format!("target{step}"), batch, 10)));
        for (name, values) in hyperparameters {
            machine.write(&name, Value::Real(values.to_vec()));
        }
        machine.run(&[Stage::Forward, Stage::Backward, Stage::Update]);
        let actual = f64::from(machine.read(loss)[0]);
        assert!(
            (actual - expected).abs() <= LOSS * expected,
            "{form}: loss {step} is {actual}, PyTorch has {expected}"
        );
        if step == 0 {
            case.compare("logits", &machine.read(logits), &json["logits"], OPERATION);
            for (name, gradient) in &gradients {
                let actual = machine.read(*gradient);
                case.compare(&format!("{name}.grad"), &actual, &json["grads"][name], NETWORK);
            }
        }
    }
    for (name, _) in &parameters {
        let actual = machine.parameter(name);
        case.compare(&format!("{name} at the end"), &actual, &json["params"][name], NETWORK);
    }
}
