//! The plan's rewrite rules on the device: two training steps with each alone, and with all, end in the bits of those with none.

use std::sync::Arc;

use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Operation, Purpose, Spec, Tape, TensorId};
use tilegrad::kernel::{Choices, Steps};
use tilegrad::ops::adaptive_avg_pool2d::AdaptiveAvgPool2dGrad;
use tilegrad::ops::avg_pool2d::{AvgPool2dAttributes, AvgPool2dGrad};
use tilegrad::ops::batch_norm2d::BatchNorm2dEval;
use tilegrad::ops::binary::Binary;
use tilegrad::ops::conv2d::{Conv2dAttributes, Conv2dGradInput};
use tilegrad::ops::fused::epilogue::WithEpilogue;
use tilegrad::ops::matmul::Matmul;
use tilegrad::optim::Optimizer;
use tilegrad::plan::fuse::RULES;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::shape::Layout;
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device};
use crate::common::{cases, fused};

/// The losses of two steps and the parameters after them, and how many dispatches a step has.
fn trained(device: &Device, tape: &Tape, shape: [usize; 4], loss: TensorId, choices: &Choices) -> (Vec<f32>, usize) {
    let layout = Arc::new(ParameterLayout::new(tape, device.caps()).unwrap());
    let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
    store.initialise(tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape.clone()), layout, device.caps(), choices).unwrap();
    let dispatches = plan.steps.len();
    let options = SessionOptions::default().guarded(true);
    let mut session = Session::new(&store, Arc::new(plan), options).unwrap();
    session.write("input", &cases::uniform(3, "images", shape.iter().product())).unwrap();
    session.write("target", &(0..shape[0] as i32).collect::<Vec<_>>()).unwrap();
    let mut values = Vec::new();
    for _step in 0..2 {
        let sgd = fused::sgd();
        for (name, hyper) in sgd.hyperparameters(tape, sgd.rates()) {
            session.write(&name, &hyper).unwrap();
        }
        session.step().unwrap();
        values.extend(session.read_f32(loss).unwrap());
    }
    assert_eq!(session.breach().unwrap(), None);
    for id in tape.parameters() {
        values.extend(store.parameter(&tape.tensor(id).name).unwrap());
    }
    assert!(values.iter().all(|value| value.is_finite()));
    (values, dispatches)
}

#[test]
fn no_rule_changes_a_bit() {
    let Some(device) = device() else { return };
    let without = |kept: &dyn Fn(&str) -> bool| {
        let names = RULES.iter().map(|rule| rule.name.to_string());
        Choices { without_rules: names.filter(|name| !kept(name)).collect(), ..Choices::default() }
    };
    for (network, tape, shape, loss) in fused::networks() {
        let (expected, dispatches) = trained(device, &tape, shape, loss, &without(&|_| false));
        for rule in RULES {
            let (values, _) = trained(device, &tape, shape, loss, &without(&|name| name == rule.name));
            assert_eq!(bits(&values), bits(&expected), "{network}, {} alone", rule.name);
        }
        let (values, fewer) = trained(device, &tape, shape, loss, &Choices::default());
        assert_eq!(bits(&values), bits(&expected), "{network}, all rules");
        assert!(fewer < dispatches, "{network}: {fewer} of {dispatches} dispatches");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// An operation, the shapes of its operands, and how many products an element of the result adds up.
type Shaped = (Arc<dyn Operation>, Vec<Vec<usize>>, usize);

/// Every operation that applies its epilogue does what the twin does, by every candidate.
#[test]
fn an_epilogue_is_what_the_twin_does() {
    let Some(device) = device() else { return };
    let conv = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let strided = Conv2dAttributes { stride: [2; 2], padding: [1; 4], ..Conv2dAttributes::default() };
    let depthwise = Conv2dAttributes { groups: 8, ..conv };
    let linear = Matmul { transpose_a: false, transpose_b: true };
    let image = |shape: [usize; 4]| shape.to_vec();
    let cases: Vec<Shaped> = vec![
        (Arc::new(conv), vec![image([2, 8, 5, 7]), image([12, 8, 3, 3]), vec![12]], 72),
        (Arc::new(conv), vec![image([2, 3, 5, 7]), image([6, 3, 3, 3]), vec![6]], 27),
        (Arc::new(depthwise), vec![image([2, 8, 5, 7]), image([8, 1, 3, 3])], 9),
        (
            Arc::new(Conv2dGradInput { conv: strided, input: [2, 8, 8, 6].into() }),
            vec![image([2, 12, 4, 3]), image([12, 8, 3, 3])],
            108,
        ),
        (
            Arc::new(Conv2dGradInput { conv: depthwise, input: [2, 8, 5, 7].into() }),
            vec![image([2, 8, 5, 7]), image([8, 1, 3, 3])],
            9,
        ),
        (Arc::new(linear), vec![vec![5, 12], vec![36, 12], vec![36]], 12),
        (Arc::new(linear), vec![vec![5, 7], vec![9, 7]], 7),
        (Arc::new(BatchNorm2dEval { eps: 1e-5 }), vec![image([2, 8, 3, 5]), vec![8], vec![8], vec![8], vec![8]], 16),
        (Arc::new(Binary::Add), vec![image([2, 3, 4, 5]); 2], 2),
        (Arc::new(AdaptiveAvgPool2dGrad { input: [2, 3, 5, 7].into() }), vec![image([2, 3, 2, 3])], 9),
        (
            Arc::new(AvgPool2dGrad { pool: AvgPool2dAttributes::new([2, 2]), input: [2, 3, 4, 6].into() }),
            vec![image([2, 3, 2, 3])],
            9,
        ),
    ];
    for (op, shapes, depth) in cases {
        for steps in [Steps { add: true, relu: true, mask: true }, Steps { mask: true, ..Steps::default() }] {
            let label = format!("{op:?}, {steps:?}");
            let mut tape = Tape::new(Purpose::Evaluate);
            let names = ["a", "b", "c", "d", "e"];
            let mut inputs = Vec::new();
            let mut ids = Vec::new();
            let mut operand = |tape: &mut Tape, name: &'static str, shape: &[usize], low: f32| {
                let values = cases::uniform(7, name, shape.iter().product());
                // A variance is above 0.
                inputs.push((name, Value::Real(values.into_iter().map(|x| x.max(low)).collect())));
                // Of an operation with two images the second is a convolution's weight.
                let weight = name == "b" && shape.len() == 4 && shapes[0] != shapes[1];
                let spec = Spec::f32(shape);
                let layout = if weight { Layout::Hwio } else { spec.layout };
                tape.input(name, Spec { layout, ..spec }).unwrap()
            };
            for (i, (name, shape)) in names.into_iter().zip(&shapes).enumerate() {
                let low = if shapes.len() == 5 && i == 2 { 0.1 } else { -1.0 };
                ids.push(operand(&mut tape, name, shape, low));
            }
            let tensors: Vec<_> = ids.iter().map(|&id| tape.tensor(id)).collect();
            let result = op.infer(&tensors).unwrap()[0].shape.dims().to_vec();
            for name in [steps.add.then_some("addend"), steps.mask.then_some("masking")].into_iter().flatten() {
                ids.push(operand(&mut tape, name, &result, -1.0));
            }
            let output = tape.append("fused", WithEpilogue { op: Arc::clone(&op), steps }, &ids, &[]).unwrap()[0];
            // A batch norm subtracts, so that sums of absolute values say nothing.
            let tolerance =
                if shapes.len() == 5 { Tolerance::Rounding(16.0) } else { Tolerance::Sum { depth: depth + 1 } };
            let outputs = vec![(output, tolerance)];
            check_op(device, Case { label, tape, inputs, outputs });
        }
    }
}
