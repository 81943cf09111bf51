//! What judges kernels: a wrong one is refused with its first wrong element, nodes that change memory in place are judged too.

use tilegrad::gpu::{SessionOptions, Specimen, Tolerance, Verdict};
use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Tape, Tensor};
use tilegrad::kernel::{Choices, Dispatch, Extent, Kernel, Lowering, Source};
use tilegrad::ops::activation::Activation;
use tilegrad::ops::fused::activation_in_place::ActivationInPlace;
use tilegrad::shape::DType;
use tilegrad::twin::{Inputs, Outputs, Real, Twin, Value};

use crate::check::device;

/// `x + by`; its kernel adds `off` more to element `at`.
#[derive(Debug)]
struct Shift {
    at: u32,
    off: f32,
}

const KERNEL: &str = "
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.len { return; }
    output[id.x] = input[id.x] + 1.0 + select(0.0, params.off, id.x == params.at);
}";

tilegrad::params! {
    /// What the kernel is told.
    struct Params { len: u32, at: u32, off: f32 }
}

impl Operation for Shift {
    fn name(&self) -> &'static str {
        "shift"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> tilegrad::Result<()> {
        let len = lowering.output_len(0);
        let params = Params { len: len as u32, at: self.at, off: self.off };
        let dispatch =
            Dispatch::new(Kernel::new("shift", &[Source::new("test", KERNEL)]), &params, Extent::Invocations(len))
                .bind("input", lowering.input(0))
                .bind("output", lowering.output(0));
        lowering.push(dispatch);
        Ok(())
    }
}

impl Twin for Shift {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).iter_mut().zip(inputs.real(0)).for_each(|(out, &x)| *out = x + R::of(1.0));
    }
}

fn options() -> SessionOptions {
    SessionOptions::default().guarded(true)
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32 / 8.0 - 4.0).collect()
}

#[test]
fn one_wrong_element_is_named() {
    let Some(device) = device() else { return };
    for (off, tolerance) in
        [(1e-3, Tolerance::Rounding(4.0)), (1e-3, Tolerance::Exact), (1.0, Tolerance::RootMeanSquare(0.01))]
    {
        let verdict = |off| {
            let mut tape = Tape::new(Purpose::Evaluate);
            let input = tape.input("input", Spec::f32([4, 10])).unwrap();
            let output = tape.append("shift", Shift { at: 23, off }, &[input], &[]).unwrap()[0];
            let inputs = vec![("input".to_string(), Value::Real(values(40)))];
            let specimen = Specimen::new(tape, inputs, vec![(output, tolerance)]).unwrap();
            specimen.judge(device, &Choices::default(), options()).unwrap()
        };
        assert_eq!(verdict(0.0), Verdict::Right, "{tolerance:?}");
        let Verdict::Wrong(fault) = verdict(off) else { panic!("{tolerance:?} lets {off} pass") };
        assert!(fault.contains("at [2, 3] of shift [4,10]"), "{fault}");
    }
}

#[test]
fn a_node_in_the_memory_of_its_input_is_judged() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([3, 7])).unwrap();
    let copied = tape.copy("copy", input).unwrap();
    let output = tape.append("relu", ActivationInPlace(Activation::Relu), &[copied], &[]).unwrap()[0];
    let inputs = vec![("input".to_string(), Value::Real(values(21)))];
    let specimen = Specimen::new(tape, inputs, vec![(output, Tolerance::Exact)]).unwrap();
    assert_eq!(specimen.judge(device, &Choices::default(), options()).unwrap(), Verdict::Right);
}

#[test]
fn a_buffer_that_a_node_changes_is_judged_from_the_value_that_it_is_given() {
    let Some(device) = device() else { return };
    let verdict = |given: f32| {
        let mut tape = Tape::new(Purpose::Train);
        let input = tape.input("input", Spec::f32([2, 3, 4, 4])).unwrap();
        let running = tilegrad::ops::batch_norm2d::Running {
            mean: tape.buffer("mean", [3], DType::F32, 0.0).unwrap(),
            var: tape.buffer("var", [3], DType::F32, 1.0).unwrap(),
            batches: tape.buffer("batches", [1], DType::I32, 0.0).unwrap(),
        };
        let op = tilegrad::ops::batch_norm2d::BatchNorm2dAttributes { eps: 1e-5, momentum: Some(0.1) };
        tape.batch_norm2d("norm", input, None, running, op).unwrap();
        let values = vec![
            ("input".to_string(), Value::Real(values(96))),
            ("mean".to_string(), Value::Real(vec![given; 3])),
            ("batches".to_string(), Value::Int(vec![6])),
        ];
        let compared = vec![(running.mean, Tolerance::Rounding(8.0)), (running.batches, Tolerance::Exact)];
        let specimen = Specimen::new(tape, values, compared).unwrap();
        specimen.judge(device, &Choices::default(), options()).unwrap()
    };
    assert_eq!(verdict(0.0), Verdict::Right);
    assert_eq!(verdict(5.0), Verdict::Right);
}
