//! Tests that need an adapter: kernels against their twins, golden values, sessions, training. A machine without one
//! fails them with a hint, unless TILEGRAD_SKIP_GPU is set.

mod augment;
#[path = "../common/augment_cases.rs"]
mod augment_cases;
mod augment_more;
mod cache;
#[path = "../common/cases.rs"]
mod cases;
mod check;
mod checkpoint;
#[path = "../common/clip.rs"]
mod clip;
mod confusion;
mod data;
mod dataset;
mod device;
#[path = "../common/each_cases.rs"]
mod each_cases;
mod few;
mod forecast;
#[path = "../common/fused.rs"]
mod fused;
mod fusion;
mod golden;
#[path = "../common/golden.rs"]
mod golden_files;
#[path = "../common/golden_more.rs"]
mod golden_more;
#[path = "../common/golden_networks.rs"]
mod golden_networks;
mod golden_norm;
#[path = "../common/golden_norm.rs"]
mod golden_norm_files;
mod guard;
mod joined;
mod judge;
mod kernels;
mod kernels_each;
mod kernels_more;
mod large;
#[path = "../common/layers.rs"]
mod layer_cases;
mod layers;
#[path = "../common/more_cases.rs"]
mod more_cases;
mod optimizer;
mod peak;
mod profile;
mod resume;
mod session;
mod statistics;
mod tiles;
mod training;
mod tuner;
mod vectors;
mod widths;
mod winograd;
