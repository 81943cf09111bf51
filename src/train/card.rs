//! What a file of weights says of itself, so that it can be used without anything else: the model, the size and
//! normalisation of its images, the names of its classes.

use std::path::Path;
use std::str::FromStr;

use super::weights::{self, Metadata};
use crate::data::Normalisation;
use crate::error::{Error, Result};
use crate::nn::models::NamedModel;
use crate::shape::ImageSize;

/// What is needed to use a trained model beside its weights; it travels in the metadata of the safetensors file.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// The network.
    pub model: NamedModel,
    /// The size of its images.
    pub image_size: ImageSize,
    /// The names of its classes, one for each.
    pub class_names: Vec<String>,
    /// How bytes become numbers.
    pub normalisation: Normalisation,
}

/// Numbers as text, which f32 survives to the bit.
fn numbers(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl ModelCard {
    /// The card as metadata.
    pub fn to_metadata(&self) -> Metadata {
        let NamedModel { name, classes, width, small } = &self.model;
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
        fields.into_iter().map(|(name, text)| (format!("tilegrad.{name}"), text)).collect()
    }

    /// The card in the metadata of the file at `path`; [`Error::Data`] names what is missing or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let metadata = weights::metadata(path)?;
        let text = |name: &str| -> Result<&str> {
            let text = metadata.get(&format!("tilegrad.{name}")).map(String::as_str);
            text.ok_or_else(|| {
                let message = format!(
                    "does not say what model it is of (metadata \"tilegrad.{name}\" is missing): \
                     take a file that a training example has written with --out"
                );
                Error::data(path, message)
            })
        };
        let wrong = |name: &str, text: &str| Error::data(path, format!("metadata \"tilegrad.{name}\" is \"{text}\""));
        let class_names: Vec<String> =
            serde_json::from_str(text("class_names")?).map_err(|_| wrong("class_names", "no list of names"))?;
        let one =
            |name: &str| -> Result<usize> { text(name)?.parse().map_err(|_| wrong(name, text(name).unwrap_or(""))) };
        let model = NamedModel {
            name: text("model")?.into(),
            classes: one("classes")?,
            width: one("width")?,
            small: text("small")?.parse().map_err(|_| wrong("small", text("small").unwrap_or("")))?,
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

/// What [`numbers`] wrote.
fn several<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let values: Vec<T> = text.split(',').map(|text| text.parse().ok()).collect::<Option<_>>()?;
    values.try_into().ok()
}
