//! The model card in a file of weights: the model, the size and normalisation of its images, and the names of its
//! classes.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use super::weights::{self, Metadata};
use crate::data::Normalisation;
use crate::error::{Error, Result};
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
/// let card = ModelCard {
///     model: NamedModel::new("perceptron", 2).with("hidden", 8),
///     image_size: size,
///     class_names: vec!["dark".into(), "light".into()],
///     normalisation: Normalisation::of(&images),
/// };
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
pub struct ModelCard {
    /// The network.
    pub model: NamedModel,
    /// Size of the images.
    pub image_size: ImageSize,
    /// Names of the classes, one per class.
    pub class_names: Vec<String>,
    /// Normalisation that turns bytes into numbers.
    pub normalisation: Normalisation,
}

/// Formats numbers as text from which f32 is restored to the bit.
fn numbers(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl ModelCard {
    /// Builds the network with `networks`. [`Error::Config`] for an unknown name lists the known ones.
    pub fn build(&self, networks: &Networks) -> Result<Box<dyn Module>> {
        networks.build(&self.model)
    }

    /// Returns the card as metadata.
    pub fn to_metadata(&self) -> Metadata {
        let NamedModel { name, classes, width, small, settings } = &self.model;
        let Normalisation { scale, shift } = &self.normalisation;
        let fields = [
            ("model", name.clone()),
            ("classes", classes.to_string()),
            ("width", width.to_string()),
            ("small", small.to_string()),
            ("shape", numbers(&self.image_size.chw())),
            ("scale", numbers(scale)),
            ("shift", numbers(shift)),
            ("class_names", serde_json::json!(self.class_names).to_string()),
        ];
        // Only custom networks have settings.
        let settings = (!settings.is_empty()).then(|| ("settings", serde_json::json!(settings).to_string()));
        fields.into_iter().chain(settings).map(|(name, text)| (format!("tilegrad.{name}"), text)).collect()
    }

    /// Reads the card from the metadata of the file at `path`. [`Error::Data`] names a missing or invalid entry.
    pub fn read(path: &Path) -> Result<Self> {
        let metadata = weights::metadata(path)?;
        let text = |name: &str| -> Result<&str> {
            let text = metadata.get(&format!("tilegrad.{name}")).map(String::as_str);
            text.ok_or_else(|| {
                let message = format!(
                    "does not say what model it is of (metadata \"tilegrad.{name}\" is missing): \
                     take a file that a training example has written with --out, \
                     or that Trainer::save_model has with ModelCard::to_metadata"
                );
                Error::data(path, message)
            })
        };
        let wrong = |name: &str, text: &str| Error::data(path, format!("metadata \"tilegrad.{name}\" is \"{text}\""));
        let class_names: Vec<String> =
            serde_json::from_str(text("class_names")?).map_err(|_| wrong("class_names", "no list of names"))?;
        let one =
            |name: &str| -> Result<usize> { text(name)?.parse().map_err(|_| wrong(name, text(name).unwrap_or(""))) };
        let settings: BTreeMap<String, String> = match metadata.get("tilegrad.settings") {
            Some(text) => serde_json::from_str(text).map_err(|_| wrong("settings", text))?,
            None => BTreeMap::new(),
        };
        let model = NamedModel {
            name: text("model")?.into(),
            classes: one("classes")?,
            width: one("width")?,
            small: text("small")?.parse().map_err(|_| wrong("small", text("small").unwrap_or("")))?,
            settings,
        };
        if class_names.len() != model.classes {
            let error = Error::data(path, format!("names {} classes of {}", class_names.len(), model.classes));
            return Err(error.between(model.classes, class_names.len()));
        }
        let normalisation = Normalisation {
            scale: several(text("scale")?).ok_or_else(|| wrong("scale", "not four numbers"))?,
            shift: several(text("shift")?).ok_or_else(|| wrong("shift", "not four numbers"))?,
        };
        let [channels, height, width] = several(text("shape")?).ok_or_else(|| wrong("shape", "not three numbers"))?;
        let image_size = ImageSize::new(height, width, channels);
        Ok(ModelCard { model, image_size, class_names, normalisation })
    }
}

/// Parses the text of [`numbers`].
fn several<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let values: Vec<T> = text.split(',').map(|text| text.parse().ok()).collect::<Option<_>>()?;
    values.try_into().ok()
}
