//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod augment_more;
mod autodiff;
mod barriers;
mod candidates;
#[path = "../common/cards.rs"]
mod cards;
mod checkpoint;
mod data;
mod dataset;
mod diagnosis;
mod disk;
mod download;
mod dump;
mod errors;
mod folder_dataset;
mod formats;
mod fusion;
mod golden;
mod golden_norm;
mod gradients;
mod gradients_each;
mod gradients_more;
mod keys;
mod layers;
mod load;
mod memory;
mod models;
mod named;
mod operations;
mod optimizer;
mod own_layers;
mod plan;
mod plateau;
mod report;
mod resume;
mod schedules;
mod scratch;
mod shaders;
mod slots;
mod starvation;
mod tidy;
mod tiles;
mod zoo;
mod zoo_augment;
mod zoo_more;

#[path = "../common/augment_cases.rs"]
mod augment_cases;
#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/clip.rs"]
mod clip;
#[path = "../common/each_cases.rs"]
mod each_cases;
#[path = "../common/fused.rs"]
mod fused;
#[path = "../common/golden.rs"]
mod golden_files;
#[path = "../common/golden_more.rs"]
mod golden_more;
#[path = "../common/golden_networks.rs"]
mod golden_networks;
#[path = "../common/golden_norm.rs"]
mod golden_norm_files;
#[path = "../common/layers.rs"]
mod layer_cases;
#[path = "../common/more_cases.rs"]
mod more_cases;
