//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod barriers;
mod golden;
mod gradients;
mod plan;
mod shaders;
mod zoo;

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/golden.rs"]
mod golden_files;
