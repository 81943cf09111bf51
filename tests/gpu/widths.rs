//! Products whose operands can be loaded four, two or one at a time, each for itself.

use tilegrad::gpu::Device;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::matmul::Matmul;
use tilegrad::twin::Value;

use crate::check::{Case, check_choices, device};
use crate::common::cases::{self, ConvCase, Draw, MatmulCase};
use crate::kernels::{conv, matmul};

/// The algorithm that these tests are about; the others have tests of their own.
fn check_eights(device: &Device, case: Case) {
    if device.caps().shuffles_eight_lanes() {
        check_choices(device, case, &["subgroup8"], &[true, false]);
    }
}

/// Channels of every width, and of several vectors with and without a rest.
const CHANNELS: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 20];

#[test]
fn convolutions_of_every_width() {
    let Some(device) = device() else { return };
    for seed in 0..16 {
        let draw = Draw::new(seed, "widths");
        let mut case = cases::conv_case(6000 + seed, 8, 6);
        case.conv.groups = 1;
        let channels = |count: usize| CHANNELS[draw.between(0, count - 1)];
        case.input[1] = channels(CHANNELS.len());
        case.weight[0] = channels(CHANNELS.len());
        case.weight[1] = case.input[1];
        // Without dilation the taps of a line lie in a row.
        if draw.coin() {
            case.conv.dilation[1] = 1;
        }
        check_eights(device, conv(6000 + seed, &case));
    }
}

#[test]
fn convolutions_whose_depth_is_split() {
    let Some(device) = device() else { return };
    for (i, [channels, out]) in [[6, 16], [16, 6], [2, 8], [3, 10], [7, 5]].into_iter().enumerate() {
        let case = ConvCase {
            input: [6, channels, 14, 15],
            weight: [out, channels, 5, 3],
            conv: Conv2dAttributes { padding: [i % 2; 4], ..Conv2dAttributes::default() },
            bias: true,
        };
        check_eights(device, conv(6100 + i as u64, &case));
    }
}

#[test]
fn matrix_products_of_every_width() {
    let Some(device) = device() else { return };
    for seed in 0..16 {
        let draw = Draw::new(seed, "widths of a product");
        let op = Matmul { transpose_a: seed & 1 == 1, transpose_b: seed & 2 == 2 };
        let [m, n, k] = [(); 3].map(|()| CHANNELS[draw.between(0, CHANNELS.len() - 1)] + 20 * draw.between(0, 2));
        let case = MatmulCase {
            a: if op.transpose_a { [k, m] } else { [m, k] },
            b: if op.transpose_b { [n, k] } else { [k, n] },
            output: [m, n],
            op,
            bias: draw.coin(),
        };
        check_eights(device, matmul(6200 + seed, &case));
    }
}

/// What lies beyond the end of a run or of a row belongs to others, and may be NaN; what lies beyond the operands always is.
#[test]
fn neighbours_that_are_nan_do_not_enter() {
    let Some(device) = device() else { return };
    for (i, [channels, out]) in [[6, 6], [3, 4], [4, 3], [5, 10], [1, 2]].into_iter().enumerate() {
        // Without padding: a zero of it times a NaN of the other operand is a NaN, which the twin leaves out.
        let case = ConvCase {
            input: [2, channels, 5, 6],
            weight: [out, channels, 3, 3],
            conv: Conv2dAttributes::default(),
            bias: false,
        };
        let mut case = conv(6300 + i as u64, &case);
        for (name, value) in &mut case.inputs {
            if let (Value::Real(values), "input" | "grad_output") = (value, *name) {
                let middle = values.len() / 2;
                values[middle] = f32::NAN;
            }
        }
        check_eights(device, case);
    }
    for (i, [m, n, k]) in [[5, 6, 7], [6, 5, 6], [7, 7, 5], [10, 10, 10]].into_iter().enumerate() {
        for transposed in 0..4 {
            let op = Matmul { transpose_a: transposed & 1 == 1, transpose_b: transposed & 2 == 2 };
            let case = MatmulCase {
                a: if op.transpose_a { [k, m] } else { [m, k] },
                b: if op.transpose_b { [n, k] } else { [k, n] },
                output: [m, n],
                op,
                bias: false,
            };
            // The first element of the second line, which is read together with the last of the first line.
            let starts = [case.a[1], case.b[1], n];
            let mut case = matmul(6400 + i as u64, &case);
            for ((_, value), start) in case.inputs.iter_mut().zip(starts) {
                if let Value::Real(values) = value {
                    values[start] = f32::NAN;
                }
            }
            check_eights(device, case);
        }
    }
}
