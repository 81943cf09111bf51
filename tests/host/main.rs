//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod golden;
mod gradients;

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/golden.rs"]
mod golden_files;
