//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod autodiff;
mod barriers;
mod errors;
mod golden;
mod gradients;
mod gradients_more;
mod operations;
mod plan;
mod shaders;
mod slots;
mod tidy;
mod zoo;
mod zoo_more;

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/golden.rs"]
mod golden_files;
#[path = "../common/golden_more.rs"]
mod golden_more;
#[path = "../common/more_cases.rs"]
mod more_cases;
