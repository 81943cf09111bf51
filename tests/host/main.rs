//! What can be tested without a GPU: the mathematics on the reference executor, the shaders by naga, plans, and tidiness.

mod augmentation;
mod autodiff;
mod barriers;
mod candidates;
mod data;
mod dataset;
mod diagnosis;
mod disk;
mod distributions;
mod download;
mod dump;
mod errors;
mod folder_dataset;
mod formats;
mod fusion;
mod golden;
mod gradients;
mod keys;
mod links;
mod load;
mod memory;
mod mixup;
mod models;
mod named;
mod operations;
mod optimizer;
mod overlap;
mod own_layers;
mod plan;
mod plateau;
mod report;
mod reports;
mod resume;
mod schedules;
mod scratch;
mod shaders;
mod slots;
mod starvation;
mod tidy;
mod tiles;
mod weights;
mod zoo;

#[path = "../common/mod.rs"]
mod common;
