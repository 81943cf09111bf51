//! Models given by name and size, as in a command line or a file.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Names of the built-in networks, each with its description. [`super::Networks`] adds others.
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

/// A model given by its name and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedModel {
    /// One of [`NAMES`], or a name added by [`super::Networks::add`].
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage, 64 as published; LeNet-5 ignores it.
    pub width: usize,
    /// True for the variant for images of about 32x32. The variant for 224x224 would shrink them to size 0.
    pub small: bool,
    /// Channels of the images: 3 for colour, 1 for gray.
    pub channels: usize,
    /// Further settings of a custom network, as text by name. Empty for built-in networks.
    pub settings: BTreeMap<String, String>,
}

impl NamedModel {
    /// Creates a model as published: 64 channels wide, for images of about 224x224 in colour (LeNet-5's are gray).
    pub fn new(name: impl Into<String>, classes: usize) -> Self {
        let name = name.into();
        let channels = if name.starts_with("lenet5") { 1 } else { 3 };
        NamedModel { name, classes, width: 64, small: false, channels, settings: BTreeMap::new() }
    }

    /// Sets the number of channels of the images.
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the number of channels of the first stage.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Sets whether the model is the variant for images of about 32x32.
    pub fn small(mut self, small: bool) -> Self {
        self.small = small;
        self
    }

    /// Sets a setting of a custom network.
    pub fn with(mut self, setting: impl Into<String>, value: impl ToString) -> Self {
        self.settings.insert(setting.into(), value.to_string());
        self
    }

    /// Returns the value of a setting. [`Error::Config`] if it is missing or can't be parsed as a `T`.
    pub fn setting<T: FromStr>(&self, setting: &str) -> Result<T> {
        let wrong = |what: String| {
            Error::config(format!("{}.{setting}", self.name), format!("{what}: NamedModel::with gives it a value"))
        };
        let text = self.settings.get(setting).ok_or_else(|| wrong("is missing".into()))?;
        text.parse().map_err(|_| wrong(format!("is \"{text}\", which cannot be read")))
    }
}
