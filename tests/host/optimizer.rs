//! Clipping and accumulation of gradients: what they add to a plan, which settings are refused, and the sums by hand.

use std::sync::Arc;

use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass, FlatBuffer};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::accumulate_grad::AccumulateGrad;
use tilegrad::ops::clip_grad_norm::{ClipGradNorm, GRAD_NORM};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{ACCUMULATE, Optimizer, ParamGroup, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::reference::{HostStore, Program};
use tilegrad::train::TrainOptions;
use tilegrad::twin::Value;

use crate::common::golden::clip;
use crate::golden::Reference;
use crate::zoo;

#[test]
fn clipped_steps_are_pytorchs() {
    clip::check(&mut Reference::default());
}

fn tape(sgd: &Sgd, accumulated: bool) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([2, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap().loss;
    match accumulated {
        true => sgd.minimize_accumulated(&mut tape, loss).unwrap(),
        false => sgd.minimize(&mut tape, loss).unwrap(),
    }
    tape
}

/// Two groups; with a binding of 110,000 bytes the first has two pieces more.
fn sgd() -> Sgd {
    Sgd::new(0.1).momentum(0.9).group(ParamGroup::new(|name| name.ends_with("bias")))
}

fn caps(max_binding: u64) -> Caps {
    Caps { max_binding, ..Caps::webgpu(DeviceClass::Discrete) }
}

/// The kernels of the update stage, and those of the backward stage that accumulate.
fn kernels(plan: &Plan) -> Vec<&'static str> {
    let counts = |stage, name: &str| stage == Stage::Update || name == "accumulate_grad";
    plan.steps.iter().filter(|s| counts(s.stage, s.kernel.name)).map(|step| step.kernel.name).collect()
}

#[test]
fn what_is_not_asked_for_costs_no_dispatch() {
    for max_binding in [128 << 20, 110_000] {
        let plan = |sgd: &Sgd, accumulated| {
            zoo::plan(&tape(sgd, accumulated), &caps(max_binding), &Choices::default()).unwrap()
        };
        let plain = plan(&sgd(), false);
        let pieces = plain.layout.pieces(0).len() + plain.layout.pieces(1).len();
        assert_eq!(pieces > 2, max_binding == 110_000, "{pieces} pieces");
        assert_eq!(kernels(&plain), [vec!["count_updates"], vec!["sgd"; pieces]].concat());
        assert_eq!(plain.layout.bytes(FlatBuffer::Accumulated), 0);

        let value = plan(&sgd().clip_grad_value(1.0), false);
        assert_eq!(value.steps.len(), plain.steps.len(), "the update clips by value itself");
        let norm = plan(&sgd().clip_grad_norm(1.0), false);
        let names =
            [vec!["clip_grad_norm"; pieces], vec!["clip_grad_norm/total"], vec!["count_updates"], vec!["sgd"; pieces]]
                .concat();
        assert_eq!(kernels(&norm), names);

        let sums = plan(&sgd().clip_grad_norm(1.0), true);
        assert_eq!(kernels(&sums), [vec!["accumulate_grad"; pieces], names].concat());
        let last_backward = sums.steps.iter().rposition(|step| step.stage == Stage::Backward).unwrap();
        assert_eq!(sums.steps[last_backward].kernel.name, "accumulate_grad", "no gradient comes after its sum");
        let gradients = sums.layout.bytes(FlatBuffer::Gradient);
        assert_eq!(sums.layout.bytes(FlatBuffer::Accumulated), gradients);
        assert_eq!(sums.memory().gradients, 2 * gradients);
    }
}

#[test]
fn a_store_made_without_sums_refuses_a_tape_with_them() {
    let layout = Arc::new(ParameterLayout::new(&tape(&sgd(), false), &caps(128 << 20)).unwrap());
    let error = Plan::new(Arc::new(tape(&sgd(), true)), layout, &caps(128 << 20), &Choices::default()).unwrap_err();
    assert!(error.to_string().contains("accumulates its gradients"), "{error}");
}

#[test]
fn settings_outside_their_range_are_named() {
    for (sgd, field) in [
        (Sgd::new(0.1).clip_grad_norm(-1.0), "clip_grad_norm: must be"),
        (Sgd::new(0.1).clip_grad_norm(f64::NAN), "clip_grad_norm: must be"),
        (Sgd::new(0.1).clip_grad_value(-0.5), "clip_grad_value: must be"),
        (Sgd::new(0.1).clip_grad_value(f64::INFINITY), "clip_grad_value: must be"),
        (Sgd::new(0.1).clip_grad_norm(1.0).clip_grad_value(1.0), "clip_grad_norm: cannot be set together"),
    ] {
        let error = sgd.validate().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    // An infinite norm measures only.
    Sgd::new(0.1).clip_grad_norm(f64::INFINITY).validate().unwrap();
    let error = TrainOptions::default().accumulate(0).validate().unwrap_err();
    assert_eq!(error.to_string(), "accumulate: must be at least 1, it is 0");
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let mut tape = Tape::new(Purpose::Train);
    let error = tape.append(GRAD_NORM, ClipGradNorm { groups: vec![0], max_norm: 1.0 }, &[], &[]).unwrap_err();
    assert!(error.to_string().contains("clip_grad_norm \"grad_norm\""), "{error}");
    let error = tape.append(ACCUMULATE, AccumulateGrad { group: 0 }, &[], &[]).unwrap_err();
    assert!(error.to_string().contains("accumulate_grad \"accumulate\""), "{error}");
}

/// Sums by hand: 1/4 of the first batch's gradients and 3/4 of the second's; a third batch starts anew.
#[test]
fn gradients_add_up_by_their_weights() {
    let sgd = Sgd::new(1.0);
    let tape = Arc::new(tape(&sgd, true));
    let gradient =
        |tape: &Tape| tape.gradients().into_iter().find(|(of, _)| tape.tensor(*of).name == "fc3.bias").unwrap().1;
    let id = gradient(&tape);
    let mut store = HostStore::<f64>::new(&tape, 1);
    let mut program = Program::new(Arc::clone(&tape));
    program.write("target", Value::Int(vec![1, 2])).unwrap();
    let mut sum_after = |weight: f64, first: f64, shade: f64| {
        program.write("input", Value::Real(vec![shade; 2 * 784])).unwrap();
        program.write(ACCUMULATE, Value::Real(vec![weight, first, 0.0, 0.0])).unwrap();
        program.run(&mut store, &[Stage::Forward, Stage::Backward]).unwrap();
        program.read(id).unwrap().real().to_vec()
    };
    let (a, b) = (sum_after(1.0, 1.0, 0.1), sum_after(1.0, 1.0, 0.9));
    assert_ne!(a, b);
    let first = sum_after(0.25, 1.0, 0.1);
    let both = sum_after(0.75, 0.0, 0.9);
    for i in 0..10 {
        assert!((first[i] - 0.25 * a[i]).abs() < 1e-15);
        assert!((both[i] - (0.25 * a[i] + 0.75 * b[i])).abs() < 1e-15);
    }
    assert_eq!(sum_after(1.0, 1.0, 0.1), a, "the sums of before are gone");
}
