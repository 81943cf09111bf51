//! A hundred random cases on the device for each operation that shares its family with others, for batch norm in training
//! and in evaluation, and for global average pooling.

use crate::check::{check_op, device};
use crate::each_cases::{CASES, EACH, cases};
use crate::kernels_more::differentiated;
use crate::layer_cases::{BatchNormCase, adaptive_case, batch_norm_case};
use crate::layers::{adaptive, batch_norm};

#[test]
fn operations_that_share_a_family() {
    let Some(device) = device() else { return };
    EACH.into_iter().flat_map(cases).for_each(|case| check_op(device, differentiated(case)));
}

#[test]
fn batch_norm2d_in_training_and_in_evaluation() {
    let Some(device) = device() else { return };
    for training in [true, false] {
        // The seeds that the other test has not, of either kind.
        for seed in 300..300 + CASES as u64 {
            let case = BatchNormCase { training, ..batch_norm_case(seed, 12) };
            check_op(device, batch_norm(seed, &case));
        }
    }
}

#[test]
fn global_average_pooling() {
    let Some(device) = device() else { return };
    for seed in 0..CASES as u64 {
        let (shape, _) = adaptive_case(seed, 20);
        check_op(device, adaptive(seed, shape, [1, 1]));
    }
}
