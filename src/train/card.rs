//! The model card in a file of weights: the model, its images and how they are made, its classes, and what it was trained
//! on and how.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::training_data::TrainingData;
use crate::data::{ImageOptions, Normalisation, Resize};
use crate::error::Result;
use crate::nn::Module;
use crate::nn::models::{NamedModel, Networks};
use crate::shape::ImageSize;

/// The description of a trained model, stored with its weights in the metadata of the safetensors file.
///
/// The network may be a custom one, under a name registered with [`Networks`]:
///
/// ```
/// use tilegrad::data::{ImageSet, Normalisation, ResidentSource};
/// use tilegrad::nn::models::{NamedModel, Networks};
/// use tilegrad::nn::{Flatten, Linear, Relu, Sequential};
/// use tilegrad::optim::Sgd;
/// use tilegrad::shape::ImageSize;
/// use tilegrad::train::weights::Load;
/// use tilegrad::train::{CpuEngine, ModelCard, Predictor, TrainOptions, Trainer};
///
/// let mut networks = Networks::new();
/// networks.add("perceptron", |card| {
///     let hidden = card.setting("hidden")?;
///     let model = Sequential::new().with("flatten", Flatten).with("fc1", Linear::new(4 * 4, hidden));
///     Ok(model.with("relu", Relu).with("fc2", Linear::new(hidden, card.classes)))
/// });
///
/// // One program trains and saves.
/// let size = ImageSize::new(4, 4, 1);
/// let bytes: Vec<u8> = (0..32_u8).flat_map(|i| [i % 2 * 200 + i; 16]).collect();
/// let images = ImageSet::new(bytes, (0..32).map(|i| i % 2).collect(), size, 2)?;
/// let model = NamedModel::new("perceptron", 2).channels(1).with("hidden", 8);
/// let card = ModelCard::new(model, size, ["dark", "light"], Normalisation::of(&images));
/// let source = |name| ResidentSource::new(name, images.clone()).normalised(card.normalisation);
/// let (mut train, mut validation) = (source("train"), source("validation"));
/// let options = TrainOptions::default().epochs(20).batch_size(8);
/// let mut trainer = Trainer::new(card.build(&networks)?, Sgd::new(0.1), CpuEngine::new(), options, &train)?
///     .described(card.to_metadata());
/// trainer.fit(&mut train, &mut validation)?;
/// let file = std::env::temp_dir().join(format!("tilegrad-card-{}.safetensors", std::process::id()));
/// trainer.save_model(&file)?;
///
/// // Another reads the file. It needs nothing else but the code that builds the network.
/// let card = ModelCard::read(&file)?;
/// let (model, mut engine) = (card.build(&networks)?, CpuEngine::new());
/// let mut predictor = Predictor::load(&file, &card, &*model, &mut engine)?;
/// let light = ImageSet::new(vec![220; 16], vec![0], size, 2)?;
/// assert!(predictor.probabilities(&light)?[0][1] > 0.9);
///
/// // A trainer can also evaluate the file on labelled images, without training.
/// let mut test = ResidentSource::new("test", images.clone()).normalised(card.normalisation);
/// let mut tester = Trainer::new(card.build(&networks)?, Sgd::new(0.0), CpuEngine::new(), TrainOptions::default(), &test)?;
/// tester.load_model(&file, &Load::strict())?;
/// assert_eq!(tester.evaluate(&mut test)?.accuracy, 1.0);
/// # std::fs::remove_file(&file).map_err(|error| tilegrad::Error::io(&file, error))?;
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelCard {
    /// The network.
    pub model: NamedModel,
    /// Size of the images.
    pub image_size: ImageSize,
    /// How image files are brought to that size; `None` if they had it.
    pub resize: Option<Resize>,
    /// Names of the classes, one per class.
    pub class_names: Vec<String>,
    /// Normalisation that turns bytes into numbers.
    pub normalisation: Normalisation,
    /// The images that the network was trained on; `None` if the file does not say.
    pub data: Option<TrainingData>,
    /// Choices of the training by name, for people.
    pub recipe: BTreeMap<String, String>,
    /// Number format of the arithmetic: "f32".
    pub precision: String,
    /// Fields of a later version, which are kept.
    pub(super) others: Map<String, Value>,
}

impl ModelCard {
    /// Creates the card of a network for images of `image_size`, with a name for each class. It says nothing of data and
    /// recipe.
    pub fn new<S: Into<String>>(
        model: NamedModel,
        image_size: ImageSize,
        class_names: impl IntoIterator<Item = S>,
        normalisation: Normalisation,
    ) -> Self {
        ModelCard {
            model,
            image_size,
            resize: None,
            class_names: class_names.into_iter().map(Into::into).collect(),
            normalisation,
            data: None,
            recipe: BTreeMap::new(),
            precision: "f32".into(),
            others: Map::new(),
        }
    }

    /// How image files are read for the network. If it was trained on images of its size, a square is cut out of the
    /// centre of others, and those for a network that is not square are stretched.
    pub fn images(&self) -> ImageOptions {
        let ImageSize { height, width, channels } = self.image_size;
        let usual = if height == width { Resize::crop(height) } else { Resize::stretch(height, width) };
        ImageOptions::default().resize(self.resize.unwrap_or(usual)).channels(channels)
    }

    /// Sets how image files are brought to the size.
    pub fn resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.resize = resize.into();
        self
    }

    /// Sets the images that the network was trained on.
    pub fn data(mut self, data: impl Into<Option<TrainingData>>) -> Self {
        self.data = data.into();
        self
    }

    /// Adds a choice of the training.
    pub fn with(mut self, choice: impl Into<String>, value: impl ToString) -> Self {
        self.recipe.insert(choice.into(), value.to_string());
        self
    }

    /// Builds the network with `networks`. [`Error::Config`](crate::Error::Config) for an unknown name
    /// lists the known ones.
    pub fn build(&self, networks: &Networks) -> Result<Box<dyn Module>> {
        networks.build(&self.model)
    }
}
