//! Which images a trained network is evaluated on: never those that it was trained on without a word.

use std::fs;
use std::path::{Path, PathBuf};

use tilegrad::data::{Dataset, FolderOptions, Normalisation, Resize, open};
use tilegrad::nn::models::NamedModel;
use tilegrad::shape::ImageSize;
use tilegrad::train::{EvaluationImages, EvaluationSplit, ModelCard, TrainingData};

use crate::scratch::Scratch;

/// Two classes of different images, 40 of each.
fn folder(scratch: &Scratch, dir: &str, first: usize) {
    for i in 0..80 {
        let class = ["ant", "bee"][i % 2];
        image(scratch, &format!("{dir}/{class}/{i:02}.png"), first + i);
    }
}

/// An image that no other number has.
fn image(scratch: &Scratch, name: &str, number: usize) {
    let path = scratch.path(name);
    let pixels: Vec<u8> = (0..12).map(|i| (number >> (i % 2 * 8)) as u8 ^ i as u8).collect();
    image::save_buffer(path, &pixels, 2, 2, image::ExtendedColorType::Rgb8).unwrap();
}

/// The card of a network that was trained on the images of `dir`, and the files of its test images.
fn trained(dir: &Path, seed: u64) -> (ModelCard, Vec<PathBuf>) {
    let opened = tilegrad::data::open_lazily(dir, &FolderOptions::default().seed(seed)).unwrap();
    let data = TrainingData::of(opened.split, &*opened.train).unwrap();
    let model = NamedModel::new("resnet18", 2).small(true);
    let card = ModelCard::new(model, ImageSize::new(2, 2, 3), ["ant", "bee"], Normalisation::default());
    (card.resize(Resize::crop(2)).data(data), files(&*opened.test))
}

fn files(dataset: &dyn Dataset) -> Vec<PathBuf> {
    (0..dataset.len()).map(|i| dataset.path(i).unwrap().to_path_buf()).collect()
}

fn chosen(dir: &Path, card: &ModelCard, choice: Option<&str>) -> tilegrad::Result<EvaluationImages> {
    let choice = choice.map(|text| text.parse::<EvaluationSplit>().unwrap());
    EvaluationImages::open(dir, card, choice, &FolderOptions::default())
}

#[test]
fn the_same_data_set_gives_the_images_held_out_for_the_test_whatever_the_seed() {
    let scratch = Scratch::new("evaluation-same");
    folder(&scratch, "all", 0);
    for seed in [1, 2, 77] {
        let (card, test) = trained(&scratch.join("all"), seed);
        let found = chosen(&scratch.join("all"), &card, None).unwrap();
        assert_eq!((files(&*found.images), test.len()), (test, 16), "{seed}: {}", found.description);
        for (part, count) in [("train", 56), ("validation", 8), ("test", 16), ("all", 80), ("unseen", 24)] {
            assert_eq!(chosen(&scratch.join("all"), &card, Some(part)).unwrap().images.len(), count, "{part}");
        }
    }
    assert!("tests".parse::<EvaluationSplit>().is_err());
}

#[test]
fn other_images_are_all_taken_and_some_of_the_training_are_said() {
    let scratch = Scratch::new("evaluation-other");
    folder(&scratch, "all", 0);
    folder(&scratch, "new", 500);
    let (card, _) = trained(&scratch.join("all"), 5);
    let found = chosen(&scratch.join("new"), &card, None).unwrap();
    assert_eq!(found.images.len(), 80);
    assert!(found.description.contains("none of which was trained on"), "{}", found.description);
    // A renamed copy of an image is the same image.
    let mut seen = 0;
    for (i, path) in files(&*chosen(&scratch.join("all"), &card, Some("train")).unwrap().images).iter().enumerate() {
        if i % 8 == 0 {
            fs::copy(path, scratch.join(format!("new/bee/copy{i}.png"))).unwrap();
            seen += 1;
        }
    }
    let error = chosen(&scratch.join("new"), &card, None).unwrap_err().to_string();
    assert!(
        error.contains(&format!("{seen} of the {} images", 80 + seen)) && error.contains("--split unseen"),
        "{error}"
    );
    assert_eq!(chosen(&scratch.join("new"), &card, Some("unseen")).unwrap().images.len(), 80);
    assert_eq!(chosen(&scratch.join("new"), &card, Some("all")).unwrap().images.len(), 80 + seen);
    // An image more: it is not the data set of the training any more.
    image(&scratch, "all/ant/more.png", 1_000);
    assert!(chosen(&scratch.join("all"), &card, None).unwrap_err().to_string().contains("56 of the 81"));
}

#[test]
fn a_part_of_the_classes_is_enough_and_others_are_named() {
    let scratch = Scratch::new("evaluation-classes");
    folder(&scratch, "all", 0);
    let (card, _) = trained(&scratch.join("all"), 1);
    (0..3).for_each(|i| image(&scratch, &format!("one/bee/{i}.png"), 600 + i));
    let found = chosen(&scratch.join("one"), &card, None).unwrap();
    assert_eq!((found.images.len(), found.images.classes()), (3, 2));
    assert_eq!((0..3).map(|i| found.images.label(i).unwrap()).collect::<Vec<_>>(), [1; 3]);
    assert_eq!(found.images.get(0).unwrap().1, 1);
    image(&scratch, "one/wasp/9.png", 700);
    let error = chosen(&scratch.join("one"), &card, None).unwrap_err().to_string();
    assert!(error.contains("a class that the model does not know: wasp; it knows ant, bee"), "{error}");
    assert!(open(&scratch.join("one/bee"), &FolderOptions::default()).is_err());
}

#[test]
fn a_file_that_says_nothing_of_its_data_is_evaluated_on_a_given_test_or_on_all() {
    let scratch = Scratch::new("evaluation-unknown");
    folder(&scratch, "all", 0);
    let (card, _) = trained(&scratch.join("all"), 1);
    let old = card.data(None);
    let found = chosen(&scratch.join("all"), &old, None).unwrap();
    assert!(found.images.len() == 80 && found.description.contains("does not say"), "{}", found.description);
    assert!(chosen(&scratch.join("all"), &old, Some("unseen")).is_err());
    folder(&scratch, "parts/train", 100);
    folder(&scratch, "parts/test", 300);
    assert_eq!(chosen(&scratch.join("parts"), &old, None).unwrap().images.len(), 80);
    // With a given test and a held-out validation.
    let (card, test) = trained(&scratch.join("parts"), 3);
    assert_eq!(files(&*chosen(&scratch.join("parts"), &card, None).unwrap().images), test);
    // Its test images alone are another data set, none of which was trained on; its training images are.
    assert_eq!(chosen(&scratch.join("parts/test"), &card, None).unwrap().images.len(), 80);
    // Its training images alone are the data set without the test: the validation is what was held out of them.
    let found = chosen(&scratch.join("parts/train"), &card, None).unwrap();
    assert!(found.images.len() == 8 && found.description.contains("validation images"), "{}", found.description);
}
