//! What a tape says of operands and attributes that do not fit: the operation, the node's name in its scope, both shapes.

use tilegrad::error::Quantity;
use tilegrad::graph::{Purpose, Spec, Tape, TensorId};
use tilegrad::nn::{AdaptiveAvgPool2d, AvgPool2d, Conv2d, MaxPool2d, Module};
use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::gather::Gather;
use tilegrad::ops::matmul::Matmul;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{Layout, Shape};
use tilegrad::{Error, Result};

/// A tape with inputs x0, x1, .. of these shapes.
fn inputs(shapes: &[&[usize]]) -> (Tape, Vec<TensorId>) {
    let mut tape = Tape::new(Purpose::Train);
    let declare = |(i, shape): (usize, &&[usize])| tape.input(&format!("x{i}"), Spec::f32(Shape::new(*shape))).unwrap();
    let ids = shapes.iter().enumerate().map(declare).collect();
    (tape, ids)
}

fn shape_error<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error:?}");
    error.to_string()
}

fn attribute_error<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Attribute { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn conv2d() {
    let conv = |shapes: &[&[usize]], conv: Conv2dAttributes| {
        let (mut tape, ids) = inputs(shapes);
        tape.conv2d("conv1", ids[0], ids[1], ids.get(2).copied(), conv)
    };
    let (mut tape, ids) = inputs(&[&[8, 3, 32, 32], &[16, 16, 3, 3]]);
    let scoped = tape.scoped("layer1", |tape| {
        tape.scoped("0", |tape| tape.conv2d("conv1", ids[0], ids[1], None, Conv2dAttributes::default()))
    });
    assert_eq!(
        shape_error(scoped),
        "conv2d \"layer1.0.conv1\": input has 3 channels, weight expects 16; input [8,3,32,32], weight [16,16,3,3]"
    );
    assert_eq!(
        shape_error(conv(&[&[8, 3, 4, 4], &[16, 3, 5, 5]], Conv2dAttributes::default()))
            .split(", Conv2dAttributes")
            .next(),
        Some(
            "conv2d \"conv1\": the dilated kernel is larger than the padded input; \
             input [8,3,4,4], weight [16,3,5,5]"
        )
    );
    assert_eq!(
        shape_error(conv(&[&[8, 3, 4, 4], &[16, 3, 3, 3], &[8]], Conv2dAttributes::default())),
        "conv2d \"conv1\": bias must be [16] for weight [16,3,3,3], it is [8]"
    );
    assert_eq!(
        shape_error(conv(&[&[8, 48], &[16, 3, 3, 3]], Conv2dAttributes::default())),
        "conv2d \"conv1\": input must be [N,C,H,W] with no empty extent, it is [8,48]"
    );
    assert_eq!(
        shape_error(conv(&[&[0, 3, 4, 4], &[16, 3, 3, 3]], Conv2dAttributes::default())),
        "conv2d \"conv1\": input must be [N,C,H,W] with no empty extent, it is [0,3,4,4]"
    );
    assert_eq!(
        shape_error(conv(&[&[8, 3, 4, 4], &[16, 27]], Conv2dAttributes::default())),
        "conv2d \"conv1\": weight must be [out,in/groups,kernel_h,kernel_w] with no empty extent, it is [16,27]"
    );
    let shapes: [&[usize]; 2] = [&[8, 3, 4, 4], &[16, 3, 3, 3]];
    assert_eq!(
        attribute_error(conv(&shapes, Conv2dAttributes { groups: 2, ..Conv2dAttributes::default() })),
        "conv2d \"conv1\": groups 2 must divide the 3 input and 16 output channels"
    );
    assert_eq!(
        attribute_error(conv(&shapes, Conv2dAttributes { stride: [1, 0], ..Conv2dAttributes::default() })),
        "conv2d \"conv1\": stride must be at least 1 on both axes, it is [1, 0]"
    );
    assert_eq!(
        attribute_error(conv(&shapes, Conv2dAttributes { dilation: [0, 1], ..Conv2dAttributes::default() })),
        "conv2d \"conv1\": dilation must be at least 1 on both axes, it is [0, 1]"
    );
}

#[test]
fn max_pool2d_and_avg_pool2d() {
    let (mut tape, ids) = inputs(&[&[2, 3, 4, 4]]);
    let mut max = |pool: MaxPool2dAttributes| tape.max_pool2d("pool", ids[0], pool);
    let pool = MaxPool2dAttributes::new([3, 3]);
    assert_eq!(
        attribute_error(max(MaxPool2dAttributes { padding: [2, 0], ..pool })),
        "max_pool2d \"pool\": padding [2, 0] must be at most half the kernel [3, 3]"
    );
    assert_eq!(
        attribute_error(max(MaxPool2dAttributes::new([0, 3]))),
        "max_pool2d \"pool\": kernel must be at least 1 on both axes, it is [0, 3]"
    );
    assert_eq!(
        shape_error(max(MaxPool2dAttributes { dilation: [3, 1], ..pool })),
        "max_pool2d \"pool\": the dilated kernel [3, 3] is larger than the padded input [2,3,4,4]"
    );
    let mut avg = |pool: AvgPool2dAttributes| tape.avg_pool2d("pool", ids[0], pool);
    assert_eq!(
        attribute_error(avg(AvgPool2dAttributes { divisor_override: Some(0), ..AvgPool2dAttributes::new([2, 2]) })),
        "avg_pool2d \"pool\": divisor_override must not be 0"
    );
    assert_eq!(
        attribute_error(avg(AvgPool2dAttributes { stride: [0, 2], ..AvgPool2dAttributes::new([2, 2]) })),
        "avg_pool2d \"pool\": stride must be at least 1 on both axes, it is [0, 2]"
    );
}

/// A layer that makes no sense is refused when the tape is built, in one sentence that names it.
#[test]
fn a_stride_or_window_of_0_is_refused_by_the_layers_name() {
    let refused = |layer: &dyn Module| {
        let (mut tape, ids) = inputs(&[&[2, 3, 8, 8]]);
        let error = layer.apply(&mut tape, "broken", ids[0]).unwrap_err();
        assert!(matches!(error, Error::Attribute { .. } | Error::Shape { .. }), "{error:?}");
        error.to_string()
    };
    assert_eq!(
        refused(&Conv2d::new(3, 4, 3).stride(0)),
        "conv2d \"broken\": stride must be at least 1 on both axes, it is [0, 0]"
    );
    assert_eq!(
        refused(&Conv2d::new(3, 4, 0)),
        "conv2d \"broken\": weight must be [out,in/groups,kernel_h,kernel_w] with no empty extent, it is [4,3,0,0]"
    );
    assert_eq!(
        refused(&MaxPool2d::new(2).stride(0)),
        "max_pool2d \"broken\": stride must be at least 1 on both axes, it is [0, 0]"
    );
    assert_eq!(
        refused(&AvgPool2d::new(0)),
        "avg_pool2d \"broken\": kernel must be at least 1 on both axes, it is [0, 0]"
    );
    assert_eq!(
        refused(&AdaptiveAvgPool2d([0, 1])),
        "adaptive_avg_pool2d \"broken\": output must be at least 1 on both axes, it is [0, 1]"
    );
}

#[test]
fn linear_matmul_add_and_flatten() {
    let (mut tape, ids) = inputs(&[&[8, 400], &[10, 84], &[84], &[2, 3, 4, 4]]);
    assert_eq!(
        shape_error(tape.linear("fc", ids[0], ids[1], None)),
        "linear \"fc\": the inner extents differ or one is empty; input [8,400], weight [10,84] transposed"
    );
    let op = Matmul { transpose_a: true, transpose_b: false };
    assert_eq!(
        shape_error(tape.product("product", op, ids[0], ids[1], None)),
        "matmul \"product\": the inner extents differ or one is empty; a [8,400] transposed, b [10,84]"
    );
    assert_eq!(
        shape_error(tape.linear("fc", ids[1], ids[1], Some(ids[2]))),
        "linear \"fc\": bias must be [10], it is [84]"
    );
    assert_eq!(
        shape_error(tape.add("add", ids[0], ids[1])),
        "add \"add\": both operands need one shape, they are [8,400] and [10,84]"
    );
    assert_eq!(
        shape_error(tape.flatten("flatten", ids[2])),
        "flatten \"flatten\": input must be [N,C,H,W] with no empty extent, it is [84]"
    );
    assert_eq!(tape.flatten("flatten", ids[0]).unwrap(), ids[0], "two extents are flat already");
    assert_eq!(
        shape_error(tape.column_sum("sum", ids[2])),
        "column_sum \"sum\": input must be [N,C,H,W] or [N,C], it is [84]"
    );
}

#[test]
fn softmax_cross_entropy_and_gather() {
    let (mut tape, ids) = inputs(&[&[8, 10], &[10], &[8]]);
    let (target, short) = (tape.input("target", Spec::i32([8])).unwrap(), tape.input("short", Spec::i32([7])).unwrap());
    let op = SoftmaxCrossEntropy::default();
    let mut loss = |logits, target, weight, op| tape.softmax_cross_entropy("loss", logits, target, weight, op);
    assert_eq!(
        shape_error(loss(ids[0], short, None, op)),
        "softmax_cross_entropy \"loss\": target must be [N] of i32 for logits [N,classes]; logits [8,10], target [7] of I32"
    );
    assert_eq!(
        shape_error(loss(ids[0], ids[2], None, op)),
        "softmax_cross_entropy \"loss\": target must be [N] of i32 for logits [N,classes]; logits [8,10], target [8] of F32"
    );
    assert_eq!(
        shape_error(loss(ids[1], target, None, op)),
        "softmax_cross_entropy \"loss\": logits must be [N,classes], they are [10]"
    );
    assert_eq!(
        shape_error(loss(ids[0], target, Some(ids[2]), op)),
        "softmax_cross_entropy \"loss\": class weight must be [10], it is [8]"
    );
    for label_smoothing in [-0.1, 1.5, f32::NAN] {
        let message = attribute_error(loss(ids[0], target, None, SoftmaxCrossEntropy { label_smoothing, ..op }));
        let expected = format!("label_smoothing must be 0 to 1, it is {label_smoothing}");
        assert_eq!(message, format!("softmax_cross_entropy \"loss\": {expected}"));
    }
    assert_eq!(
        shape_error(tape.gather("batch", ids[0], target, Gather { scale: [1.0; 4], shift: [0.0; 4], augment: None })),
        "gather \"batch\": images must be bytes [count,C,H,W] and indices [N], they are [8,10] of F32 and [8]"
    );
}

#[test]
fn names_and_losses() {
    let (mut tape, ids) = inputs(&[&[8, 10]]);
    assert_eq!(
        tape.input("x0", Spec::f32([1])).unwrap_err().to_string(),
        "\"x0\": this tape has an input of that name already"
    );
    let mut declare = |name: &str| tape.parameter(name, [10], Layout::RowMajor, Init::Constant(0.0));
    let bias = declare("bias").unwrap();
    assert_eq!(
        declare("bias").unwrap_err().to_string(),
        "\"bias\": this tape has a parameter or buffer of that name already"
    );
    assert!(tape.scoped("fc", |tape| tape.parameter("bias", [10], Layout::RowMajor, Init::Constant(0.0))).is_ok());
    assert_eq!(tape.freeze(ids[0]).unwrap_err().to_string(), "\"x0\": only a parameter can be frozen");
    assert!(tape.freeze(bias).is_ok());
    assert_eq!(
        tape.backward(ids[0]).unwrap_err().to_string(),
        "backward \"x0\": the loss must be one number, it has shape [8,10]"
    );
}

#[test]
fn what_has_no_gradient_says_so() {
    let (mut tape, ids) = inputs(&[&[8, 10], &[10]]);
    let sum = tape.column_sum("sum", ids[0]).unwrap();
    assert_eq!(
        attribute_error(tape.gradients_of(&[(sum, ids[1])], &[ids[0]])),
        "column_sum \"sum\": has no gradient, and 1 of its inputs need one"
    );
}

#[test]
fn optimizer_settings() {
    let message = |sgd: Sgd| {
        let error = sgd.validate().unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        error.to_string()
    };
    assert!(Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(1e-4).validate().is_ok());
    assert_eq!(message(Sgd::new(-0.1)), "lr: must be a finite number of at least 0, it is -0.1");
    assert_eq!(message(Sgd::new(f64::NAN)), "lr: must be a finite number of at least 0, it is NaN");
    assert_eq!(message(Sgd::new(0.1).momentum(-1.0)), "momentum: must be a finite number of at least 0, it is -1");
    assert_eq!(
        message(Sgd::new(0.1).weight_decay(f64::INFINITY)),
        "weight_decay: must be a finite number of at least 0, it is inf"
    );
    assert_eq!(
        message(Sgd::new(0.1).nesterov(true)),
        "nesterov: needs momentum above 0 and dampening 0; momentum is 0, dampening 0"
    );
    assert_eq!(
        message(Sgd::new(0.1).momentum(0.9).dampening(0.5).nesterov(true)),
        "nesterov: needs momentum above 0 and dampening 0; momentum is 0.9, dampening 0.5"
    );
}

/// A program may look at both values in place of reading the message.
#[test]
fn operands_that_should_agree_are_in_the_error_as_values() {
    let (mut tape, ids) = inputs(&[&[8, 3, 4, 4], &[16, 8, 3, 3], &[84], &[4, 84]]);
    let both = |error: Error| error.mismatch().map(|values| (values.expected.clone(), values.found.clone()));
    let conv = tape.conv2d("conv", ids[0], ids[1], None, Conv2dAttributes::default()).unwrap_err();
    assert_eq!(both(conv), Some((Quantity::Count(8), Quantity::Count(3))));
    let sum = tape.add("sum", ids[2], ids[3]).unwrap_err();
    assert_eq!(both(sum), Some((Quantity::Extents(vec![84]), Quantity::Extents(vec![4, 84]))));
    let product = tape.linear("fc", ids[3], ids[3], Some(ids[2])).unwrap_err();
    assert_eq!(both(product), Some((Quantity::Extents(vec![4]), Quantity::Extents(vec![84]))));
}
