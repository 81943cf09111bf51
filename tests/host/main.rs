//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod autodiff;
mod barriers;
mod data;
mod errors;
mod golden;
mod gradients;
mod operations;
mod plan;
mod shaders;
mod slots;
mod tidy;
mod zoo;

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/golden.rs"]
mod golden_files;
