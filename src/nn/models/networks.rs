//! Networks by name: the built-in ones, and those that a program adds.

use std::fmt;

use super::named::{NAMES, NamedModel};
use super::{LeNet5, ResNet, Vgg};
use crate::error::{Error, Result};
use crate::nn::Module;

/// Builds a network from the description in a card.
type Build = Box<dyn Fn(&NamedModel) -> Result<Box<dyn Module>> + Send + Sync>;

/// Networks by name: the built-in ones ([`NAMES`]), and those that a program adds, so that a file's card can name them.
///
/// A program that trains a network and a program that uses its file add the same closure:
///
/// ```
/// use tilegrad::nn::models::{NamedModel, Networks};
/// use tilegrad::nn::{AdaptiveAvgPool2d, Conv2d, Flatten, Linear, Relu, Sequential, Summary};
/// use tilegrad::shape::ImageSize;
///
/// let mut networks = Networks::new();
/// networks.add("plain", |card| {
///     let mut model = Sequential::new().with("stem", Conv2d::new(3, card.width, 3).padding(1));
///     for i in 0..card.setting("depth")? {
///         model = model.with(format!("conv{i}"), Conv2d::new(card.width, card.width, 3).padding(1));
///         model = model.with(format!("relu{i}"), Relu);
///     }
///     let pool = AdaptiveAvgPool2d([1, 1]);
///     Ok(model.with("pool", pool).with("flatten", Flatten).with("fc", Linear::new(card.width, card.classes)))
/// });
///
/// let model = networks.build(&NamedModel::new("plain", 10).width(4).with("depth", 2))?;
/// assert_eq!(Summary::new(&*model, ImageSize::new(8, 8, 3))?.parameters, 112 + 2 * 148 + 50);
/// // An unknown name is an error that lists the known ones.
/// assert!(networks.build(&NamedModel::new("plane", 10)).is_err_and(|error| error.to_string().contains("plain")));
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub struct Networks {
    networks: Vec<(String, Build)>,
}

impl Networks {
    /// Creates the registry with the built-in networks.
    pub fn new() -> Self {
        let mut networks = Networks { networks: Vec::new() };
        for (name, _) in NAMES {
            networks.add(*name, own);
        }
        networks
    }

    /// Adds a network under `name`, or replaces the one of that name. `build` receives the network's description from a
    /// card; [`NamedModel::setting`] reads values that are not among its fields.
    pub fn add<M: Module + 'static>(
        &mut self,
        name: impl Into<String>,
        build: impl Fn(&NamedModel) -> Result<M> + Send + Sync + 'static,
    ) -> &mut Self {
        let name = name.into();
        self.networks.retain(|(other, _)| *other != name);
        self.networks.push((name, Box::new(move |model| Ok(Box::new(build(model)?)))));
        self
    }

    /// The names in order of addition.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(|(name, _)| name.as_str())
    }

    /// Builds the network that `model` names. [`Error::Config`] for an unknown name lists the known ones and explains
    /// how to add one. The network's own errors are passed on.
    pub fn build(&self, model: &NamedModel) -> Result<Box<dyn Module>> {
        match self.networks.iter().find(|(name, _)| *name == model.name) {
            Some((_, build)) => build(model),
            None => {
                let names: Vec<&str> = self.names().collect();
                let message = format!(
                    "is \"{}\"; there are {}. A network of your own is added by nn::models::Networks::add",
                    model.name,
                    names.join(", ")
                );
                Err(Error::config("model", message))
            }
        }
    }
}

impl Default for Networks {
    fn default() -> Self {
        Networks::new()
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl NamedModel {
    /// Builds a built-in network, like [`Networks::build`] without additions. [`Error::Config`] reports an unknown name
    /// together with the known ones, or a size out of range.
    pub fn build(&self) -> Result<Box<dyn Module>> {
        Networks::new().build(self)
    }
}

/// Largest number of classes; beyond it, f32 has no counter for each.
const MAX_CLASSES: usize = 1 << 24;
/// Largest number of channels of a first stage, a thousand times what is published.
const MAX_WIDTH: usize = 1 << 16;
/// Largest number of channels of images.
const MAX_CHANNELS: usize = 4;

/// Builds a built-in network.
fn own(model: &NamedModel) -> Result<Box<dyn Module>> {
    let NamedModel { name, classes, width, small, channels, .. } = model;
    for (field, value, most) in
        [("classes", *classes, MAX_CLASSES), ("width", *width, MAX_WIDTH), ("channels", *channels, MAX_CHANNELS)]
    {
        if !(1..=most).contains(&value) {
            return Err(Error::config(field, format!("must be 1 to {most}, it is {value}")));
        }
    }
    if name.starts_with("lenet5") && *channels != 1 {
        return Err(Error::config("channels", format!("of {name} is 1, gray images, not {channels}")));
    }
    let (base, batch_norm) = match name.strip_suffix("-bn") {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let vgg = |model: Vgg| -> Box<dyn Module> {
        let model = model.batch_norm(batch_norm).width(*width).in_channels(*channels);
        Box::new(if *small { model.cifar() } else { model })
    };
    let resnet = |model: ResNet| -> Box<dyn Module> {
        let model = model.width(*width).in_channels(*channels);
        Box::new(if *small { model.cifar() } else { model })
    };
    Ok(match base {
        "lenet5" => Box::new(LeNet5::new(*classes)),
        "lenet5-classic" => Box::new(LeNet5::classic(*classes)),
        "vgg11" => vgg(Vgg::vgg11(*classes)),
        "vgg13" => vgg(Vgg::vgg13(*classes)),
        "vgg16" => vgg(Vgg::vgg16(*classes)),
        "vgg19" => vgg(Vgg::vgg19(*classes)),
        "resnet18" => resnet(ResNet::resnet18(*classes)),
        "resnet34" => resnet(ResNet::resnet34(*classes)),
        "resnet50" => resnet(ResNet::resnet50(*classes)),
        "resnet101" => resnet(ResNet::resnet101(*classes)),
        _ => return Err(Error::config("model", format!("\"{name}\" is listed, and nothing builds it"))),
    })
}
