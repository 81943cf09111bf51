//! The choice of the images that a trained network is evaluated on: those that it was not trained on.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::card::ModelCard;
use super::training_data::TrainingData;
use crate::data::{
    self, ConcatDataset, DataPart, Dataset, FolderOptions, Format, ImageOptions, Opened, Relabelled, Split, SplitKind,
    Subset,
};
use crate::error::{Error, Result, printable};

/// A choice of the images to evaluate a network on. Parses from "unseen", "all", "train", "validation" and "test".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationSplit {
    /// The images that were not trained on.
    Unseen,
    /// All images.
    All,
    /// A part of the data set, divided as for the training.
    Part(DataPart),
}

impl FromStr for EvaluationSplit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "unseen" => EvaluationSplit::Unseen,
            "all" => EvaluationSplit::All,
            "train" => EvaluationSplit::Part(DataPart::Train),
            "validation" => EvaluationSplit::Part(DataPart::Validation),
            "test" => EvaluationSplit::Part(DataPart::Test),
            _ => {
                let message = format!("is \"{text}\", it can be unseen, all, train, validation or test");
                return Err(Error::config("split", message));
            }
        })
    }
}

/// Images to evaluate a network on.
pub struct EvaluationImages {
    /// The images, with the network's classes.
    pub images: Arc<dyn Dataset>,
    /// Errors of the files that were omitted.
    pub skipped: Vec<Error>,
    /// What they are, for people: "the 40 images held out for the test of the training".
    pub description: String,
}

impl fmt::Debug for EvaluationImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvaluationImages").field("description", &self.description).finish_non_exhaustive()
    }
}

impl EvaluationImages {
    /// Opens the data set at `path` as the card says that the network's images were made and divided, and chooses the
    /// images to evaluate it on: see [`choose`](Self::choose). Of `options` the limits, the cache and what is omitted are
    /// taken.
    ///
    /// [`Error::Data`] names classes that the network does not know. A part of its classes is enough.
    pub fn open(
        path: &Path,
        card: &ModelCard,
        choice: Option<EvaluationSplit>,
        options: &FolderOptions,
    ) -> Result<Self> {
        let files = matches!(data::detect(path)?, Format::Folder | Format::Table);
        let images = ImageOptions { max_pixels: options.images.max_pixels, ..card.images() };
        let options = options.clone().single_class(true).images(images).array_channels(images.channels);
        let options = if files { options } else { options.resize(None) };
        let options = match &card.data {
            Some(data) => options.divided_as(&data.split),
            None => options,
        };
        let opened = data::open_lazily(path, &options)?;
        let (found, expected) = (opened.train.image_size(), card.image_size);
        if found != expected {
            let message = format!("has images of {found}, the model is for {expected}");
            return Err(Error::data(path, message).between(expected, found));
        }
        let named = |part: Arc<dyn Dataset>| with_classes_of(part, &card.class_names, path);
        let (train, validation, test) = (named(opened.train)?, named(opened.validation)?, named(opened.test)?);
        Self::choose(Opened { train, validation, test, ..opened }, card.data.as_ref(), choice)
    }

    /// Chooses the images of `opened`, which was divided as for the training, to evaluate a network on that was trained on
    /// `data`.
    ///
    /// Without a choice: if this is the data set of the training, the images held out for its test, else those for its
    /// validation; if none of its images was trained on, all; if some were, [`Error::Config`] says how many. A network
    /// whose file does not say what it was trained on is evaluated on the test images that the data set has, else on all.
    pub fn choose(
        opened: Opened<Arc<dyn Dataset>>,
        data: Option<&TrainingData>,
        choice: Option<EvaluationSplit>,
    ) -> Result<Self> {
        let (parts, skipped) = Parts::of(opened)?;
        let (images, description) = parts.choose(data, choice)?;
        Ok(EvaluationImages { images, skipped, description })
    }
}

/// Chosen images, and what they are.
type Chosen = (Arc<dyn Dataset>, String);

/// The three parts of a data set, and all of it.
struct Parts {
    parts: [Arc<dyn Dataset>; 3],
    split: Split,
    all: Arc<ConcatDataset<Arc<dyn Dataset>>>,
}

impl Parts {
    fn of(opened: Opened<Arc<dyn Dataset>>) -> Result<(Self, Vec<Error>)> {
        let parts = [opened.train, opened.validation, opened.test];
        let all = Arc::new(ConcatDataset::new(parts.to_vec())?);
        Ok((Parts { parts, split: opened.split, all }, opened.skipped))
    }

    fn choose(self, data: Option<&TrainingData>, choice: Option<EvaluationSplit>) -> Result<Chosen> {
        match (choice, data) {
            (Some(EvaluationSplit::All), _) => self.everything("all".into()),
            (Some(EvaluationSplit::Part(part)), _) => self.part(part),
            (Some(EvaluationSplit::Unseen), None) => Err(Error::config(
                "split",
                "unseen: the file does not say what it was trained on; all, train, validation and test can be taken",
            )),
            (Some(EvaluationSplit::Unseen), Some(data)) => self.unseen(data),
            (None, Some(data)) => self.of_data(data),
            (None, None) => self.of_unknown(),
        }
    }

    fn everything(self, what: String) -> Result<Chosen> {
        let description = format!("{what} {} images", self.all.len());
        Ok((self.all, description))
    }

    fn part(self, part: DataPart) -> Result<Chosen> {
        let [train, validation, test] = self.parts;
        let (images, name) = match part {
            DataPart::Train => (train, "training"),
            DataPart::Validation => (validation, "validation"),
            DataPart::Test => (test, "test"),
        };
        if images.is_empty() {
            let message = format!("there are no {name} images ({}); --split all takes all", self.split);
            return Err(Error::config("split", message));
        }
        let description = format!("the {} {name} images ({})", images.len(), self.split);
        Ok((images, description))
    }

    fn unseen(self, data: &TrainingData) -> Result<Chosen> {
        let seen = data.seen(&*self.all)?;
        let indices: Vec<u32> = (0..seen.len() as u32).filter(|&i| !seen[i as usize]).collect();
        if indices.is_empty() {
            let message = format!("unseen: all {} images were trained on; --split all takes them", seen.len());
            return Err(Error::config("split", message));
        }
        let description = format!("the {} of {} images that were not trained on", indices.len(), seen.len());
        Ok((Arc::new(Subset::new(self.all, indices)?), description))
    }

    fn of_data(self, data: &TrainingData) -> Result<Chosen> {
        let [train, validation, test] = &self.parts;
        let own = TrainingData::of(self.split, &**train)?;
        if own.digests() == data.digests() {
            return match (test.is_empty(), validation.is_empty()) {
                (false, _) => self.part(DataPart::Test),
                (true, false) => self.part(DataPart::Validation),
                (true, true) => Err(Error::config(
                    "split",
                    "the network was trained on all images of this data set; --split all evaluates it on them",
                )),
            };
        }
        let count = self.all.len();
        let seen = data.seen(&*self.all)?.into_iter().filter(|&seen| seen).count();
        if seen <= data.by_chance(count) {
            return self.everything("none of which was trained on, all".into());
        }
        let message = format!(
            "{seen} of the {count} images were trained on, and this is not the data set of the training as it was then: \
             --split unseen takes the {} others, --split all takes all",
            count - seen
        );
        Err(Error::config("split", message))
    }

    fn of_unknown(self) -> Result<Chosen> {
        match self.split.test {
            SplitKind::Given => self.part(DataPart::Test),
            _ => self.everything("the file does not say which it was trained on, so all".into()),
        }
    }
}

/// The images of `dataset` with the labels of a network whose classes are called `names`. A part of the classes is
/// enough. [`Error::Data`] names those that the network does not know; `path` is the data set's.
fn with_classes_of(dataset: Arc<dyn Dataset>, names: &[String], path: &Path) -> Result<Arc<dyn Dataset>> {
    let own = dataset.class_names();
    if own.is_empty() {
        if dataset.classes() > names.len() {
            let message = format!("has {} classes, the model knows {}", dataset.classes(), names.len());
            return Err(Error::data(path, message).between(names.len(), dataset.classes()));
        }
        let same = (0..dataset.classes() as i32).collect();
        return Ok(Arc::new(Relabelled::new(dataset, same, names.to_vec())?));
    }
    let place = |name: &String| names.iter().position(|known| known == name);
    let unknown: Vec<&String> = own.iter().filter(|name| place(name).is_none()).collect();
    if !unknown.is_empty() {
        let what = if unknown.len() == 1 { "a class" } else { "classes" };
        let message = format!(
            "has {what} that the model does not know: {}; it knows {}",
            some(&unknown),
            some(&names.iter().collect::<Vec<_>>())
        );
        return Err(Error::data(path, message));
    }
    if own == names {
        return Ok(dataset);
    }
    let labels = own.iter().filter_map(place).map(|class| class as i32).collect();
    Ok(Arc::new(Relabelled::new(dataset, labels, names.to_vec())?))
}

/// The first names, and how many more there are.
fn some(names: &[&String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(printable).collect();
    match names.len() > SHOWN {
        true => format!("{} and {} more", shown.join(", "), names.len() - SHOWN),
        false => shown.join(", "),
    }
}
