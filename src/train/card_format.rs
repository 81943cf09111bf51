//! The text of a model card: version 2 as JSON, and version 1 as one entry of metadata for each field.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde_json::{Value, json};

use super::card::ModelCard;
use super::training_data::TrainingData;
use super::weights::{self, Metadata};
use crate::data::{Normalisation, Resize, Shares, Split, SplitKind};
use crate::error::{Error, Result};
use crate::graph::{Purpose, Tape};
use crate::nn::Module;
use crate::nn::models::{NamedModel, Networks};
use crate::shape::ImageSize;
use crate::tensor::Spec;

/// Key of the card in the metadata.
const KEY: &str = "tilegrad.card";
const VERSION: u64 = 2;
/// Limits of what a file may claim, well above what can be trained.
const LARGEST_WIDTH: usize = 1 << 16;
const LARGEST_SIDE: usize = 1 << 16;

/// The reason why a card can't be read.
type Parsed<T> = std::result::Result<T, String>;

impl ModelCard {
    /// Builds the network of the file at `path`, whose card this is, with `networks`. The file must have the parameters of
    /// that network, so that a card can't claim a larger one.
    pub fn build_for(&self, path: &Path, networks: &Networks) -> Result<Box<dyn Module>> {
        let model = self.build(networks)?;
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32(self.image_size.nchw(1)))?;
        model.forward(&mut tape, input)?;
        weights::check(path, &tape)?;
        Ok(model)
    }

    /// Returns the card as metadata, in version 2. It holds nothing of time or place.
    pub fn to_metadata(&self) -> Metadata {
        Metadata::from([(KEY.to_string(), to_json(self).to_string())])
    }

    /// Reads the card from the metadata of the file at `path`, in version 1 or 2. [`Error::Data`] names a missing or
    /// invalid entry.
    pub fn read(path: &Path) -> Result<Self> {
        let metadata = weights::metadata(path)?;
        let card = match metadata.get(KEY) {
            Some(text) => of_json(text),
            None => of_version_1(&metadata),
        };
        let card = card.and_then(|card| check(&card).map(|()| card));
        card.map_err(|message| Error::data(path, message))
    }
}

/// The card as JSON.
fn to_json(card: &ModelCard) -> Value {
    let NamedModel { name, classes, width, small, channels, settings } = &card.model;
    let ImageSize { height, width: columns, channels: of_images } = card.image_size;
    let Normalisation { scale, shift } = &card.normalisation;
    let mut all = card.others.clone();
    let fields = json!({
        "version": VERSION,
        "model": {
            "name": name, "classes": classes, "width": width, "small": small, "channels": channels, "settings": settings,
        },
        "image_size": {"height": height, "width": columns, "channels": of_images},
        "resize": card.resize.map(|resize| resize.to_string()),
        "class_names": card.class_names,
        "normalisation": {"scale": scale, "shift": shift},
        "data": card.data.as_ref().map(data_to_json),
        "recipe": card.recipe,
        "precision": card.precision,
    });
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Value::Object(all)
}

fn data_to_json(data: &TrainingData) -> Value {
    let Split { validation, test, shares, seed } = data.split;
    let kind = |kind: SplitKind| match kind {
        SplitKind::Given => "given",
        SplitKind::HeldOut => "held out",
        SplitKind::None => "none",
    };
    let digests: String = data.digests().iter().map(|digest| format!("{digest:08x}")).collect();
    json!({
        "validation": kind(validation), "test": kind(test),
        "validation_share": shares.validation, "test_share": shares.test, "seed": seed,
        "train_digests": digests,
    })
}

/// Reads the JSON of a card.
fn of_json(text: &str) -> Parsed<ModelCard> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("has a card that is no JSON: {error}"))?;
    let Value::Object(mut all) = value else { return Err("has a card that is no JSON object".into()) };
    match all.remove("version").as_ref().and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(other) => return Err(format!("has a card of version {other}; this program reads 1 and {VERSION}")),
        None => return Err("has a card without a version".into()),
    }
    let mut take = |name: &str| all.remove(name).unwrap_or(Value::Null);
    let (model, size, normalisation) = (take("model"), take("image_size"), take("normalisation"));
    let model = NamedModel {
        name: field(&model, "model.name", Value::as_str)?.into(),
        classes: field(&model, "model.classes", whole)?,
        width: field(&model, "model.width", whole)?,
        small: field(&model, "model.small", Value::as_bool)?,
        channels: field(&model, "model.channels", whole)?,
        settings: field(&model, "model.settings", texts)?,
    };
    let side = |name: &str| field(&size, &format!("image_size.{name}"), whole);
    let image_size = ImageSize::new(side("height")?, side("width")?, side("channels")?);
    let normalisation = Normalisation {
        scale: field(&normalisation, "normalisation.scale", four)?,
        shift: field(&normalisation, "normalisation.shift", four)?,
    };
    let resize = match take("resize") {
        Value::Null => None,
        Value::String(text) => {
            Some(Resize::from_str(&text).map_err(|error| format!("has \"resize\" \"{text}\": {error}"))?)
        }
        other => return Err(wrong("resize", &other)),
    };
    let data = match take("data") {
        Value::Null => None,
        data => Some(data_of_json(&data)?),
    };
    let (class_names, recipe, precision) = (take("class_names"), take("recipe"), take("precision"));
    let class_names = names(&class_names).ok_or_else(|| wrong("class_names", &class_names))?;
    let recipe = texts(&recipe).ok_or_else(|| wrong("recipe", &recipe))?;
    let precision = precision.as_str().ok_or_else(|| wrong("precision", &precision))?.to_string();
    let card = ModelCard::new(model, image_size, class_names, normalisation).resize(resize).data(data);
    Ok(ModelCard { recipe, precision, others: all, ..card })
}

fn data_of_json(data: &Value) -> Parsed<TrainingData> {
    let kind = |name: &str| match field(data, &format!("data.{name}"), Value::as_str)? {
        "given" => Ok(SplitKind::Given),
        "held out" => Ok(SplitKind::HeldOut),
        "none" => Ok(SplitKind::None),
        text => Err(format!("has a card whose \"data.{name}\" is \"{text}\"")),
    };
    let shares = Shares {
        validation: field(data, "data.validation_share", Value::as_f64)?,
        test: field(data, "data.test_share", Value::as_f64)?,
    };
    shares.check().map_err(|error| format!("has \"data\" with a share that can't be: {error}"))?;
    let split = Split {
        validation: kind("validation")?,
        test: kind("test")?,
        shares,
        seed: field(data, "data.seed", Value::as_u64)?,
    };
    let text = field(data, "data.train_digests", Value::as_str)?;
    let digit = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u32::from_str_radix(pair, 16).ok());
    let digests: Option<Vec<u32>> =
        text.as_bytes().chunks(8).map(|eight| digit(eight).filter(|_| eight.len() == 8)).collect();
    match digests {
        Some(digests) => Ok(TrainingData::new(split, digests)),
        None => Err("has \"data.train_digests\" that are not eight hexadecimal digits each".into()),
    }
}

/// The field whose name ends in `path`, of this object, as `read` takes it.
fn field<'a, T>(object: &'a Value, path: &str, read: impl Fn(&'a Value) -> Option<T>) -> Parsed<T> {
    let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
    let value = object.get(name).ok_or_else(|| format!("has a card without \"{path}\""))?;
    read(value).ok_or_else(|| wrong(path, value))
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

/// Four numbers, as they were to the bit.
fn four(value: &Value) -> Option<[f32; 4]> {
    let numbers: Vec<f32> =
        value.as_array()?.iter().map(|number| Some(number.as_f64()? as f32)).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

fn texts(value: &Value) -> Option<BTreeMap<String, String>> {
    value.as_object()?.iter().map(|(name, text)| Some((name.clone(), text.as_str()?.to_string()))).collect()
}

fn names(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|name| Some(name.as_str()?.to_string())).collect()
}

fn wrong(name: &str, value: &Value) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    format!("has a card whose \"{name}\" is {text}")
}

/// Reads a card of version 1. Images were stretched to their size then.
fn of_version_1(metadata: &Metadata) -> Parsed<ModelCard> {
    let text = |name: &str| -> Parsed<&str> {
        let text = metadata.get(&format!("tilegrad.{name}")).map(String::as_str);
        text.ok_or_else(|| {
            format!(
                "does not say what model it is of (metadata \"tilegrad.card\" is missing, and \"tilegrad.{name}\" of older \
                 files): take a file that a training example has written with --out, or that Trainer::save_model has with \
                 ModelCard::to_metadata"
            )
        })
    };
    let wrong = |name: &str, text: &str| format!("metadata \"tilegrad.{name}\" is \"{text}\"");
    let one = |name: &str| -> Parsed<usize> { text(name)?.parse().map_err(|_| wrong(name, text(name).unwrap_or(""))) };
    let settings = match metadata.get("tilegrad.settings") {
        Some(text) => serde_json::from_str(text).map_err(|_| wrong("settings", text))?,
        None => Default::default(),
    };
    let name = text("model")?;
    let class_names: Vec<String> =
        serde_json::from_str(text("class_names")?).map_err(|_| wrong("class_names", "no list of names"))?;
    let [channels, height, width] = several(text("shape")?).ok_or_else(|| wrong("shape", "not three numbers"))?;
    let model = NamedModel {
        name: name.into(),
        classes: one("classes")?,
        width: one("width")?,
        small: text("small")?.parse().map_err(|_| wrong("small", text("small").unwrap_or("")))?,
        channels,
        settings,
    };
    let normalisation = Normalisation {
        scale: several(text("scale")?).ok_or_else(|| wrong("scale", "not four numbers"))?,
        shift: several(text("shift")?).ok_or_else(|| wrong("shift", "not four numbers"))?,
    };
    let size = ImageSize::new(height, width, channels);
    Ok(ModelCard::new(model, size, class_names, normalisation).resize(Resize::stretch(height, width)))
}

/// Parses numbers with commas between them.
fn several<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let values: Vec<T> = text.split(',').map(|text| text.parse().ok()).collect::<Option<_>>()?;
    values.try_into().ok()
}

/// Checks the parts against each other, and against what can be.
fn check(card: &ModelCard) -> Parsed<()> {
    let ModelCard { model, image_size, class_names, normalisation, .. } = card;
    for (name, values) in [("scale", normalisation.scale), ("shift", normalisation.shift)] {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("has a card whose \"normalisation.{name}\" has {value}"));
        }
    }
    if class_names.len() != model.classes {
        return Err(format!("names {} classes of {}", class_names.len(), model.classes));
    }
    for (name, value, most) in [
        ("model.width", model.width, LARGEST_WIDTH),
        ("image_size.height", image_size.height, LARGEST_SIDE),
        ("image_size.width", image_size.width, LARGEST_SIDE),
        ("image_size.channels", image_size.channels, 4),
    ] {
        if !(1..=most).contains(&value) {
            return Err(format!("has a card whose \"{name}\" is {value}, it can be 1 to {most}"));
        }
    }
    Ok(())
}
