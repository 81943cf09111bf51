//! What several of the test binaries share: random cases, devices and networks as data, golden values. A binary takes all of
//! it by `#[path = "../common/mod.rs"] mod common;`.

pub mod augmentations;
#[allow(dead_code, reason = "tests on a device plan for that one, and the networks are the benchmarks' too")]
pub mod cards;
pub mod cases;
pub mod families;
pub mod fused;
pub mod golden;
pub mod layers;
pub mod scratch;
