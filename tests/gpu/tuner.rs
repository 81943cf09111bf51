//! The tuner: what it finds can be taken, what is wrong is refused however fast it is, and what it knows it does not measure.

use std::sync::Arc;

use tilegrad::gpu::{Device, Tuner};
use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Tape, Tensor};
use tilegrad::kernel::{Candidate, Caps, Choices, Dispatch, Extent, Kernel, Key, Source, Tensors};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::twin::{Inputs, Outputs, Real, Twin};

use crate::check::device;
use crate::common::scratch::Scratch;

/// LeNet-5 in training, for batches of `size`.
fn lenet(size: usize) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([size, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([size])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    Sgd::new(0.1).minimize(&mut tape, loss.loss).unwrap();
    tape
}

fn plan(tape: &Tape, device: &Device, choices: &Choices) -> Plan {
    let layout = Arc::new(ParameterLayout::new(tape, device.caps()).unwrap());
    Plan::new(Arc::new(tape.clone()), layout, device.caps(), choices).unwrap()
}

#[test]
fn winners_can_be_taken_and_are_measured_once() {
    let Some(device) = device() else { return };
    let (tape, smaller, folder) = (lenet(16), lenet(2), Scratch::new("tuner"));
    let file = folder.join("below/lenet.json");
    let keys: Vec<Key> = plan(&tape, device, &Choices::default()).choices().by_shape.into_keys().collect();
    let mut seen = Vec::new();
    // However busy the machine is.
    let hour = std::time::Duration::from_secs(3600);
    let mut tuner = Tuner::with_cache(device, Some(file.clone())).budget(hour);
    let first = tuner.tune(&tape, Some(&smaller), &mut |event| seen.push((event.key.clone(), event.cached))).unwrap();
    assert!(keys.len() > 8, "convolutions, products and pools, forward and backward: {keys:?}");
    assert_eq!(first.choices.by_shape.keys().cloned().collect::<Vec<_>>(), keys);
    assert_eq!((first.measured, first.cached, first.left), (keys.len(), 0, 0));
    assert!(seen.len() == keys.len() && seen.iter().all(|(_, cached)| !cached));
    // The plan takes every one, and says so itself.
    assert_eq!(plan(&tape, device, &first.choices).choices(), first.choices);
    assert_eq!(tuner.tune(&tape, None, &mut |_| panic!("known")).unwrap().choices, Choices::default(), "not twice");

    let again = Tuner::with_cache(device, Some(file.clone())).tune(&tape, None, &mut |_| {}).unwrap();
    assert_eq!((again.measured, again.cached, &again.choices), (0, keys.len(), &first.choices));
    // A damaged file is not believed, and no time means no choice.
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let mut hurried = Tuner::with_cache(device, Some(file.clone())).budget(std::time::Duration::ZERO);
    let none = hurried.tune(&tape, None, &mut |_| {}).unwrap();
    assert_eq!((none.measured, none.cached, none.left), (0, 0, keys.len()));
}

/// Twice the input: "slow" does it, again and again, and "wrong" leaves the last element out.
#[derive(Debug)]
struct Twice {
    /// How far off "wrong" is at the last element.
    off: f32,
}

const KERNEL: &str = "
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.len { return; }
    var sum = 0.0;
    for (var i = 0u; i < params.turns; i++) { sum = max(2.0 * input[id.x], sin(sum) - 4.0); }
    output[id.x] = sum + select(0.0, params.off, id.x + 1u == params.len);
}";

tilegrad::params! {
    /// What the kernel is told.
    struct Params { len: u32, turns: u32, off: f32 }
}

impl Operation for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn key(&self) -> Option<String> {
        Some(format!("twice off={}", self.off))
    }

    fn candidates<'a>(&'a self, _tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        let candidate = |name, turns, off| {
            Candidate::new(name, move |lowering| {
                let len = lowering.output_len(0);
                let params = Params { len: len as u32, turns, off };
                let kernel = Kernel::new("twice", &[Source::new("test", KERNEL)]);
                let dispatch = Dispatch::new(kernel, &params, Extent::Invocations(len))
                    .bind("input", lowering.input(0))
                    .bind("output", lowering.output(0));
                lowering.push(dispatch);
                Ok(())
            })
        };
        vec![candidate("slow", 3_000, 0.0), candidate("wrong", 1, self.off), candidate("slower", 30_000, 0.0)]
    }
}

impl Twin for Twice {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).iter_mut().zip(inputs.real(0)).for_each(|(out, &x)| *out = x + x);
    }
}

#[test]
fn a_fast_candidate_with_one_wrong_element_is_refused() {
    let Some(device) = device() else { return };
    let tape = |off: f32, size: usize| {
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32([size, 500])).unwrap();
        let output = tape.append("twice", Twice { off }, &[input], &[]).unwrap()[0];
        tape.keep(output);
        tape
    };
    let choice = |tape: &Tape, smaller: Option<&Tape>| {
        let tuning = Tuner::with_cache(device, None).tune(tape, smaller, &mut |_| {}).unwrap();
        tuning.choices.by_shape.into_values().collect::<Vec<_>>()
    };
    assert_eq!(choice(&tape(0.0, 8), None), ["wrong"], "as fast as it is, it is right here");
    assert_eq!(choice(&tape(0.5, 8), None), ["slow"]);
    assert_eq!(choice(&tape(0.5, 8), Some(&tape(0.5, 2))), ["slow"]);
    // Right at the smaller batch, beside the twin; what gives it away is the full shape, beside the other kernel.
    assert_eq!(choice(&tape(0.5, 8), Some(&tape(0.0, 2))), ["slow"]);
}
