//! Networks from the literature, a page each.

mod lenet;

pub use lenet::LeNet5;
