//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod autodiff;
mod barriers;
mod checkpoint;
mod data;
mod errors;
mod golden;
mod gradients;
mod layers;
mod models;
mod operations;
mod optimizer;
mod plan;
mod schedules;
mod shaders;
mod slots;
mod tidy;
mod zoo;

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/clip.rs"]
mod clip;
#[path = "../common/golden.rs"]
mod golden_files;
#[path = "../common/layers.rs"]
mod layer_cases;
