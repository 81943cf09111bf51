//! Networks from the literature, a page each.

mod lenet;
mod resnet;
mod vgg;

pub use lenet::LeNet5;
pub use resnet::ResNet;
pub use vgg::Vgg;
