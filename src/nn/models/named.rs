//! The models of this folder by name: what a command line and a file say of a network.

use super::{LeNet5, ResNet, Vgg};
use crate::error::{Error, Result};
use crate::nn::Module;

/// All names, each with what it stands for.
pub const NAMES: &[(&str, &str)] = &[
    ("lenet5", "LeNet-5 with ReLU and max pooling, for images of 28x28"),
    ("lenet5-classic", "LeNet-5 with sigmoid and average pooling"),
    ("vgg11", "VGG of 11 layers; likewise vgg13, vgg16 and vgg19, each with -bn for batch norm"),
    ("vgg11-bn", ""),
    ("vgg13", ""),
    ("vgg13-bn", ""),
    ("vgg16", ""),
    ("vgg16-bn", ""),
    ("vgg19", ""),
    ("vgg19-bn", ""),
    ("resnet18", "ResNet of 18 layers; likewise resnet34, resnet50 and resnet101"),
    ("resnet34", ""),
    ("resnet50", ""),
    ("resnet101", ""),
];

/// A model by its name and what its size depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedModel {
    /// One of [`NAMES`].
    pub name: String,
    /// How many classes it tells apart.
    pub classes: usize,
    /// Channels of the first stage, 64 as published; LeNet-5 has its own.
    pub width: usize,
    /// Whether it is the form for images of about 32x32, which those for 224x224 would shrink to nothing.
    pub small: bool,
}

impl NamedModel {
    /// The network. [`Error::Config`] names a name that is none, with those that are, or a size of 0.
    pub fn build(&self) -> Result<Box<dyn Module>> {
        let NamedModel { name, classes, width, small } = self;
        for (field, value) in [("classes", *classes), ("width", *width)] {
            if value == 0 {
                return Err(Error::config(field, "must be at least 1, it is 0"));
            }
        }
        let (base, batch_norm) = match name.strip_suffix("-bn") {
            Some(base) => (base, true),
            None => (name.as_str(), false),
        };
        let vgg = |model: Vgg| -> Box<dyn Module> {
            let model = model.batch_norm(batch_norm).width(*width);
            Box::new(if *small { model.cifar() } else { model })
        };
        let resnet = |model: ResNet| -> Box<dyn Module> {
            let model = model.width(*width);
            Box::new(if *small { model.cifar() } else { model })
        };
        Ok(match (base, batch_norm) {
            ("lenet5", false) => Box::new(LeNet5::new(*classes)),
            ("lenet5-classic", false) => Box::new(LeNet5::classic(*classes)),
            ("vgg11", _) => vgg(Vgg::vgg11(*classes)),
            ("vgg13", _) => vgg(Vgg::vgg13(*classes)),
            ("vgg16", _) => vgg(Vgg::vgg16(*classes)),
            ("vgg19", _) => vgg(Vgg::vgg19(*classes)),
            ("resnet18", false) => resnet(ResNet::resnet18(*classes)),
            ("resnet34", false) => resnet(ResNet::resnet34(*classes)),
            ("resnet50", false) => resnet(ResNet::resnet50(*classes)),
            ("resnet101", false) => resnet(ResNet::resnet101(*classes)),
            _ => {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(Error::config("model", format!("is \"{name}\"; there are {}", names.join(", "))));
            }
        })
    }
}
