//! Products whose operands lie in vectors of four, which random extents hardly ever are.

use crate::check::{check_op, device};
use crate::common::cases;
use crate::kernels::{conv, matmul};

#[test]
fn products_of_vectors_of_four() {
    let Some(device) = device() else { return };
    for seed in 0..40 {
        let mut case = cases::conv_case(4000 + seed, 40, 5);
        case.conv.groups = 1;
        case.input[1] = case.input[1].next_multiple_of(4);
        case.weight[0] = case.weight[0].next_multiple_of(4);
        case.weight[1] = case.input[1];
        if seed % 4 == 0 {
            // Images that are a whole number of strides: rows are counted by phase.
            case.input[2] = case.input[2].next_multiple_of(case.conv.stride[0]);
            case.input[3] = case.input[3].next_multiple_of(case.conv.stride[1]);
        }
        check_op(device, conv(4000 + seed, &case));
    }
    for seed in 0..20 {
        let mut case = cases::matmul_case(4000 + seed, 70);
        for extent in case.a.iter_mut().chain(&mut case.b).chain(&mut case.output) {
            *extent = extent.next_multiple_of(4);
        }
        check_op(device, matmul(4000 + seed, &case));
    }
}
