//! Convolutions with few input channels, as first layers are: their own kernels against the twin, and where they are taken.

use tilegrad::kernel::{Caps, DeviceClass};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::shape::conv_output;

use crate::check::{algorithms, check_op, device};
use crate::common::cases::{ConvCase, Draw};
use crate::kernels::conv;

/// The algorithms of the forward node and of the weight's gradient on a device of this class.
fn names(case: &ConvCase, caps: &Caps) -> [Vec<String>; 2] {
    let tape = conv(0, case).tape;
    ["conv2d", "conv2d_grad_weight"].map(|name| {
        let node = tape.nodes().iter().find(|node| node.op.name() == name).expect("the tape has it");
        algorithms(&tape, node, caps)
    })
}

/// Whether the kernels for few channels are right for the case; both or neither are.
fn is_few_channels(case: &ConvCase) -> bool {
    let [forward, grad_weight] =
        names(case, &Caps::webgpu(DeviceClass::Software)).map(|of| of.iter().any(|name| name == "few_channels"));
    assert_eq!(forward, grad_weight, "{case:?}");
    forward
}

/// A square kernel on a square image.
fn square(batch: usize, channels: [usize; 2], side: usize, kernel: usize, stride: usize, padding: usize) -> ConvCase {
    ConvCase {
        input: [batch, channels[0], side, side],
        weight: [channels[1], channels[0], kernel, kernel],
        conv: Conv2dAttributes { stride: [stride; 2], padding: [padding; 4], ..Conv2dAttributes::default() },
        bias: true,
    }
}

/// Random attributes with 1 to 4 input channels whose lines are whole vectors, small enough to compile quickly.
fn random(seed: u64) -> ConvCase {
    let draw = Draw::new(seed, "few case");
    let (stride, dilation) = (draw.pair(1, 3), draw.pair(1, 3));
    let [top, bottom] = draw.pair(0, 3);
    let [left, right] = draw.pair(0, 3);
    let in_c = draw.between(1, 4);
    let kernel_h = draw.between(1, 7);
    let kernel_w = draw.between(1, (36 / (kernel_h * in_c)).clamp(1, 7));
    let out_c = if draw.coin() { draw.between(1, 8) } else { 4 * draw.between(3, 8) };
    let out_w = 4 * draw.between(1, 4);
    // Of the widths that give as many pixels, one whose lines are whole vectors, if there is one.
    let least = ((out_w - 1) * stride[1] + dilation[1] * (kernel_w - 1) + 1).saturating_sub(left + right).max(1);
    let mut widths = (least..)
        .take_while(|&w| conv_output(w, kernel_w, stride[1], left + right, dilation[1]).is_ok_and(|w| w <= out_w));
    let w = widths.find(|w| (w * in_c).is_multiple_of(4)).unwrap_or(least);
    let h = (dilation[0] * (kernel_h - 1) + 1).saturating_sub(top + bottom).max(1) + draw.between(0, 6);
    ConvCase {
        input: [draw.between(1, 3), in_c, h, w],
        weight: [out_c, in_c, kernel_h, kernel_w],
        conv: Conv2dAttributes { stride, padding: [top, bottom, left, right], dilation, groups: 1 },
        bias: draw.coin(),
    }
}

#[test]
fn few_channels_of_first_layers() {
    let Some(device) = device() else { return };
    // LeNet-5's: more pieces than invocations, and no whole number of them for each.
    let lenet = square(6, [1, 6], 28, 5, 1, 2);
    // Those of VGG and ResNet on small images, in eight blocks, and one in blocks of four channels.
    let colours = square(1, [3, 64], 32, 3, 1, 1);
    let fours = square(2, [3, 12], 16, 5, 2, 2);
    // A line that is whole vectors by its channels alone, and a single output channel without a bias.
    let odd = ConvCase { input: [1, 4, 3, 9], ..square(1, [4, 4], 9, 2, 2, 0) };
    let single = ConvCase { bias: false, ..square(2, [2, 1], 8, 3, 1, 1) };
    // The longest lines and the most rows.
    let spread = Conv2dAttributes { stride: [1, 3], dilation: [1, 3], ..Conv2dAttributes::default() };
    let long = ConvCase { input: [1, 4, 3, 28], weight: [8, 4, 1, 7], conv: spread, bias: true };
    let high = ConvCase { input: [1, 1, 12, 20], weight: [6, 1, 7, 7], ..square(1, [1, 6], 20, 7, 1, 3) };
    for (i, case) in [lenet, colours, fours, odd, single, long, high].iter().enumerate() {
        assert!(is_few_channels(case), "{case:?}");
        check_op(device, conv(8000 + i as u64, case));
    }
}

#[test]
fn few_channels_random() {
    let Some(device) = device() else { return };
    let cases: Vec<(u64, ConvCase)> =
        (0..).map(|seed| (seed, random(seed))).filter(|(_, case)| is_few_channels(case)).take(10).collect();
    for (seed, case) in &cases {
        check_op(device, conv(8100 + seed, case));
    }
    let some = |what: &str, has: &dyn Fn(&ConvCase) -> bool| assert!(cases.iter().any(|(_, case)| has(case)), "{what}");
    some("a dilated line", &|case| case.conv.dilation[1] > 1 && case.weight[3] > 1);
    some("a stride", &|case| case.conv.stride[1] > 1);
    some("sides that differ", &|case| case.conv.padding[2] != case.conv.padding[3]);
    some("several blocks", &|case| case.weight[0] > 8);
    some("three channels", &|case| case.input[1] == 3);
    some("one image", &|case| case.input[0] == 1);
}

#[test]
fn few_channels_are_offered_where_they_are_right() {
    let right = square(2, [3, 64], 32, 3, 1, 1);
    assert!(is_few_channels(&right));
    let wrong = [
        ("five input channels", square(2, [5, 8], 32, 3, 1, 1)),
        ("channels in no whole vectors", square(2, [3, 70], 32, 3, 1, 1)),
        ("lines of no whole vectors", square(2, [3, 64], 33, 3, 1, 1)),
        ("output lines of no whole pieces", square(2, [3, 64], 32, 3, 1, 0)),
        ("eight rows", square(1, [1, 1], 31 + 8, 8, 1, 0)),
        ("too much to compile", square(1, [3, 64], 224, 7, 2, 3)),
        ("a long line", square(1, [4, 4], 64, 1, 16, 0)),
    ];
    for (what, case) in wrong {
        assert!(!is_few_channels(&case), "{what}");
    }
    let mut grouped = square(2, [2, 4], 32, 3, 1, 1);
    (grouped.weight[1], grouped.conv.groups) = (1, 2);
    assert!(!is_few_channels(&grouped), "groups");
    // On a card after the products, and before the direct kernel where that is the gradient by the weight.
    for (class, place) in
        [(DeviceClass::Software, [0, 0]), (DeviceClass::Integrated, [3, 2]), (DeviceClass::Discrete, [3, 2])]
    {
        let at = names(&right, &Caps::webgpu(class)).map(|of| of.iter().position(|name| name == "few_channels"));
        assert_eq!(at, place.map(Some), "{class:?}");
    }
}
