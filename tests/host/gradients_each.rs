//! A hundred gradient checks for each operation that shares its family of cases with others, and for global average pooling.

use crate::each_cases::{CASES, EACH, cases};
use crate::gradients::{check, random};
use crate::gradients_more::differences;
use crate::layer_cases::adaptive_case;

#[test]
fn operations_that_share_a_family() {
    EACH.into_iter().flat_map(cases).for_each(differences);
}

#[test]
fn global_average_pooling() {
    for seed in 0..CASES as u64 {
        let (shape, _) = adaptive_case(seed, 5);
        check(&format!("seed {seed}: {shape:?} to one pixel"), &[random(shape, seed, "input")], |tape, ids| {
            vec![tape.adaptive_avg_pool2d("pool", ids[0], [1, 1]).unwrap()]
        });
    }
}
