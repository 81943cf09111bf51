//! Networks from the literature, one file each, and their names in files beside those of a program's own networks.

mod lenet;
mod named;
mod networks;
mod resnet;
mod vgg;

pub use lenet::LeNet5;
pub use named::{NAMES, NamedModel};
pub use networks::Networks;
pub use resnet::ResNet;
pub use vgg::Vgg;
