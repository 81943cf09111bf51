//! Networks from the literature, a page each.

mod lenet;
mod named;
mod resnet;
mod vgg;

pub use lenet::LeNet5;
pub use named::{NAMES, NamedModel};
pub use resnet::ResNet;
pub use vgg::Vgg;
