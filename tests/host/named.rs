//! Models by name, and the card that travels with their weights.

use tilegrad::data::{ImageSet, Normalisation, ResidentSource, Resize, Shares, Split, SplitKind};
use tilegrad::nn::models::{NAMES, NamedModel, Networks};
use tilegrad::nn::{Flatten, Linear, Sequential, Summary};
use tilegrad::optim::Sgd;
use tilegrad::shape::{ImageSize, Shape};
use tilegrad::train::weights::{self, Load, Metadata};
use tilegrad::train::{CpuEngine, Engine, ModelCard, Predictor, TrainOptions, Trainer, TrainingData};

use crate::common::scratch::Scratch;

fn named(name: &str, classes: usize) -> NamedModel {
    NamedModel::new(name, classes).width(4).small(true)
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
    let names = ["a \"quoted\" name", "naïve, with a comma", "c"];
    let size = ImageSize::new(16, 16, 3);
    let plain = ModelCard::new(named("resnet18", 3), size, names, Normalisation::new([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]));
    let shares = Shares { validation: 0.1, test: 0.0 };
    let split = Split { validation: SplitKind::HeldOut, test: SplitKind::Given, shares, seed: u64::MAX };
    let data = TrainingData::new(split, vec![u32::MAX, 0, 7]);
    let card = plain.clone().resize(Resize::crop(16)).data(data).with("lr", 0.1);
    assert_eq!(card.data.as_ref().unwrap().digests(), [0, 7, u32::MAX]);
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
}

#[test]
fn a_card_says_what_is_wrong_with_it_and_keeps_what_it_does_not_know() {
    let folder = Scratch::new("card-text");
    let path = folder.join("model.safetensors");
    let shares = Shares { validation: 0.1, test: 0.0 };
    let split = Split { validation: SplitKind::HeldOut, test: SplitKind::Given, shares, seed: 1 };
    let card =
        ModelCard::new(named("resnet18", 3), ImageSize::new(16, 16, 3), ["a", "b", "c"], Normalisation::default());
    let card = card.data(TrainingData::new(split, vec![7]));
    let mut engine = CpuEngine::new();
    let mut tape = tilegrad::graph::Tape::new(tilegrad::graph::Purpose::Evaluate);
    tape.parameter("w", [2], tilegrad::shape::Layout::RowMajor, tilegrad::rng::Init::Constant(0.0)).unwrap();
    engine.initialise(&tape, 1).unwrap();
    // A field of a later version is kept.
    let text = &card.to_metadata()["tilegrad.card"];
    let mut later: serde_json::Value = serde_json::from_str(text).unwrap();
    later["mood"] = serde_json::json!(["good"]);
    let metadata = Metadata::from([("tilegrad.card".to_string(), later.to_string())]);
    weights::save_with(&path, &tape, &mut engine, &metadata).unwrap();
    let read = ModelCard::read(&path).unwrap();
    assert_ne!(read, card);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&read.to_metadata()["tilegrad.card"]).unwrap(), later);

    let object = |name: &str| later[name].clone();
    let with = |name: &str, field: &str, value: serde_json::Value| {
        let mut object = object(name);
        object[field] = value;
        object
    };
    for (field, value, part) in [
        ("version", 3.into(), "version 3"),
        ("model", serde_json::Value::Null, "model.name"),
        ("model", with("model", "width", (1_u64 << 60).into()), "model.width"),
        ("image_size", with("image_size", "height", 0.into()), "image_size.height"),
        ("normalisation", with("normalisation", "scale", "x".into()), "normalisation.scale"),
        ("resize", "16/8x".into(), "resize"),
        ("data", with("data", "train_digests", "0000000".into()), "train_digests"),
        ("data", with("data", "train_digests", "0000000é".into()), "train_digests"),
        ("data", with("data", "test_share", 1.5.into()), "share"),
        ("class_names", serde_json::json!(["a"]), "names 1 classes of 3"),
    ] {
        let mut wrong = later.clone();
        wrong[field] = value;
        let metadata = Metadata::from([("tilegrad.card".to_string(), wrong.to_string())]);
        weights::save_with(&path, &tape, &mut engine, &metadata).unwrap();
        let error = ModelCard::read(&path).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("model.safetensors"), "{field}: {error}");
    }

    // Version 1, in which images were stretched.
    let old = [
        ("model", "resnet18"),
        ("classes", "3"),
        ("width", "4"),
        ("small", "true"),
        ("shape", "3,16,16"),
        ("scale", "0.1,0.2,0.3,1"),
        ("shift", "0.5,0.5,0.5,0"),
        ("class_names", "[\"a\",\"b\",\"c\"]"),
    ];
    let old: Metadata = old.iter().map(|(name, text)| (format!("tilegrad.{name}"), text.to_string())).collect();
    weights::save_with(&path, &tape, &mut engine, &old).unwrap();
    let read = ModelCard::read(&path).unwrap();
    assert_eq!((read.resize, read.data), (Some(Resize::stretch(16, 16)), None));
    assert_eq!((read.model.channels, read.normalisation.scale), (3, [0.1, 0.2, 0.3, 1.0]));
    for (field, text, part) in [
        ("tilegrad.model", None, "does not say what model it is of"),
        ("tilegrad.shape", Some("3,16"), "tilegrad.shape"),
        ("tilegrad.scale", Some("1,x,1,1"), "tilegrad.scale"),
        ("tilegrad.class_names", Some("[\"a\"]"), "names 1 classes of 3"),
    ] {
        let mut metadata = old.clone();
        metadata.remove(field);
        metadata.extend(text.map(|text| (field.to_string(), text.to_string())));
        weights::save_with(&path, &tape, &mut engine, &metadata).unwrap();
        let error = ModelCard::read(&path).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("model.safetensors"), "{field}: {error}");
    }
}

#[test]
fn a_network_of_ones_own_is_known_by_its_card_where_it_was_added_and_nowhere_else() {
    let path = std::env::temp_dir().join(format!("tilegrad-own-card-{}.safetensors", std::process::id()));
    let mut networks = Networks::new();
    assert_eq!(networks.names().count(), NAMES.len());
    networks.add("two_heads", |card| {
        let [first, second]: [usize; 2] = [card.setting("first")?, card.classes];
        Ok(Sequential::new().with("flatten", Flatten).with("heads", Linear::new(16, first + second)))
    });
    let model = NamedModel::new("two_heads", 2).channels(1).with("first", 3);
    let card = ModelCard::new(model, ImageSize::new(4, 4, 1), ["a", "b"], Normalisation::default());
    let model = card.build(&networks).unwrap();
    let mut tape = tilegrad::graph::Tape::new(tilegrad::graph::Purpose::Evaluate);
    let input = tape.input("input", tilegrad::graph::Spec::f32([1, 1, 4, 4])).unwrap();
    model.forward(&mut tape, input).unwrap();
    let mut engine = CpuEngine::new();
    engine.initialise(&tape, 1).unwrap();
    weights::save_with(&path, &tape, &mut engine, &card.to_metadata()).unwrap();

    let read = ModelCard::read(&path).unwrap();
    assert_eq!(read, card);
    let (model, mut engine) = (read.build(&networks).unwrap(), CpuEngine::new());
    let mut predictor = Predictor::load(&path, &read, &*model, &mut engine).unwrap();
    let images = ImageSet::new((0..32).collect(), vec![0; 2], card.image_size, 2).unwrap();
    let outputs = predictor.outputs(&images).unwrap();
    assert_eq!(outputs.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    assert_ne!(outputs[0], outputs[1]);
    // An evaluation takes it likewise.
    let mut source = ResidentSource::new("test", images.clone());
    let model = read.build(&networks).unwrap();
    let mut trainer = Trainer::new(model, Sgd::new(0.0), CpuEngine::new(), TrainOptions::default(), &source).unwrap();
    trainer.load_model(&path, &Load::strict()).unwrap();
    let tested = trainer.evaluate(&mut source).unwrap();
    let expected: f64 = outputs
        .iter()
        .map(|of| of.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln() - f64::from(of[0]))
        .sum::<f64>()
        / 2.0;
    assert!((tested.loss - expected).abs() < 1e-5, "{} and {expected}", tested.loss);

    for unknown in [read.build(&Networks::new()), read.model.build()] {
        let error = unknown.err().unwrap().to_string();
        for part in ["\"two_heads\"", "resnet18", "Networks::add"] {
            assert!(error.contains(part), "{error}");
        }
    }
    for (model, part) in [
        (NamedModel::new("two_heads", 2), "two_heads.first: is missing"),
        (NamedModel::new("two_heads", 2).with("first", "x"), "two_heads.first: is \"x\""),
    ] {
        let error = networks.build(&model).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let text = card.to_metadata()["tilegrad.card"].replace("{\"first\":\"3\"}", "[1]");
    let metadata = Metadata::from([("tilegrad.card".to_string(), text)]);
    let mut engine = CpuEngine::new();
    engine.initialise(&tape, 1).unwrap();
    weights::save_with(&path, &tape, &mut engine, &metadata).unwrap();
    assert!(ModelCard::read(&path).unwrap_err().to_string().contains("model.settings"));
    // A name that is taken stands for what was added last.
    networks.add("lenet5", |card| Ok(Linear::new(1, card.classes)));
    assert_eq!(networks.names().count(), NAMES.len() + 1);
    assert_eq!(networks.names().filter(|name| *name == "lenet5").count(), 1);
    std::fs::remove_file(&path).unwrap();
}
