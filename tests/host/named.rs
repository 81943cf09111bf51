//! Models by name, and the card that travels with their weights.

use tilegrad::data::{ImageSet, Normalisation};
use tilegrad::nn::Summary;
use tilegrad::nn::models::{NAMES, NamedModel};
use tilegrad::shape::{ImageSize, Shape};
use tilegrad::train::weights::{self, Metadata};
use tilegrad::train::{CpuEngine, Engine, ModelCard, Predictor};

use crate::common::scratch::Scratch;

fn named(name: &str, classes: usize) -> NamedModel {
    NamedModel { name: name.into(), classes, width: 4, small: true }
}

#[test]
fn every_name_is_a_network_and_others_are_refused_with_those() {
    for (name, _) in NAMES {
        let size = if name.starts_with("lenet5") { ImageSize::new(28, 28, 1) } else { ImageSize::new(32, 32, 3) };
        let summary = Summary::new(&*named(name, 7).build().unwrap(), size).unwrap();
        assert!(summary.layers.last().unwrap().output == Shape::from([7]), "{name}");
        let normalises = summary.layers.iter().any(|layer| layer.operation.starts_with("batch_norm2d"));
        assert_eq!(normalises, name.ends_with("-bn") || name.starts_with("resnet"), "{name}");
    }
    for name in ["resnet18-bn", "lenet5-bn", "resnet", ""] {
        let error = named(name, 7).build().err().unwrap().to_string();
        assert!(error.contains(&format!("\"{name}\"")) && error.contains("vgg16-bn"), "{error}");
    }
    assert!(named("vgg11", 0).build().err().unwrap().to_string().contains("classes"));
    assert!(NamedModel { width: 0, ..named("vgg11", 2) }.build().err().unwrap().to_string().contains("width"));
}

#[test]
fn a_card_comes_back_as_it_was_and_says_what_is_wrong_with_it() {
    let folder = Scratch::new("card");
    let path = folder.join("model.safetensors");
    let card = ModelCard {
        model: named("resnet18", 3),
        image_size: ImageSize::new(16, 16, 3),
        class_names: vec!["a \"quoted\" name".into(), "naïve, with a comma".into(), "c".into()],
        normalisation: Normalisation::new([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
    };
    let model = card.model.build().unwrap();
    let mut engine = CpuEngine::new();
    let mut tape = tilegrad::graph::Tape::new(tilegrad::graph::Purpose::Evaluate);
    let input = tape.input("input", tilegrad::graph::Spec::f32([1, 3, 16, 16])).unwrap();
    model.forward(&mut tape, input).unwrap();
    engine.initialise(&tape, 1).unwrap();
    weights::save_with(&path, &tape, &mut engine, &card.to_metadata()).unwrap();
    assert_eq!(ModelCard::read(&path).unwrap(), card);
    // Files of the same weights are the same bytes.
    let bytes = std::fs::read(&path).unwrap();
    weights::save_with(&path, &tape, &mut engine, &card.to_metadata()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    // What the file makes of images is what its network makes of them.
    let images =
        ImageSet::new((0..2 * 768).map(|i| (i * 7 % 251) as u8).collect(), vec![0; 2], ImageSize::new(16, 16, 3), 3)
            .unwrap();
    let mut other = CpuEngine::new();
    let mut predictor = Predictor::load(&path, &card, &*model, &mut other).unwrap();
    let probabilities = predictor.probabilities(&images).unwrap();
    assert!(probabilities.len() == 2 && probabilities.iter().all(|of| (of.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    assert_ne!(probabilities[0], probabilities[1]);
    let first = predictor.first_layer(&images, 0).unwrap().unwrap();
    assert_eq!(
        (first.name.as_str(), first.filters_shape, first.maps_size),
        ("conv1.weight", [4, 3, 3, 3], ImageSize::new(16, 16, 4))
    );
    let small = ImageSet::new(vec![0; 192], vec![0], ImageSize::new(8, 8, 3), 3).unwrap();
    assert!(predictor.probabilities(&small).unwrap_err().to_string().contains("8x8x3"));

    for (field, text, part) in [
        ("tilegrad.model", None, "does not say what model it is of"),
        ("tilegrad.shape", Some("3,16"), "tilegrad.shape"),
        ("tilegrad.scale", Some("1,x,1,1"), "tilegrad.scale"),
        ("tilegrad.class_names", Some("[\"a\"]"), "names 1 classes of 3"),
    ] {
        let mut metadata: Metadata = card.to_metadata();
        metadata.remove(field);
        metadata.extend(text.map(|text| (field.to_string(), text.to_string())));
        weights::save_with(&path, &tape, &mut engine, &metadata).unwrap();
        let error = ModelCard::read(&path).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("model.safetensors"), "{field}: {error}");
    }
}
