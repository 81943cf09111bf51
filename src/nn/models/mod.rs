//! Networks from the literature, a page each, and the names that files know them and a program's own by.

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
