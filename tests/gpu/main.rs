//! Tests that need an adapter: kernels against their twins, golden values, sessions, training. A machine without one
//! fails them with a hint, unless TILEGRAD_SKIP_GPU is set.

mod cache;
mod cards;
mod check;
mod confusion;
mod cuts;
mod data;
mod dataset;
mod device;
mod few_channels;
mod forecast;
mod fused;
mod fusion;
mod gather;
mod golden;
mod guard;
mod judge;
mod kernels;
mod large;
mod mixup;
mod optimizer;
mod peak;
mod profile;
mod refusals;
mod reports;
mod resume;
mod session;
mod statistics;
mod tiles;
mod training;
mod transform;
mod tuner;
mod vectors;
mod weights;
mod widths;
mod winograd;

#[path = "../common/mod.rs"]
mod common;
