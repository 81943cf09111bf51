//! The examples predict and evaluate with a model whose weights are as initialised: what they read, print and write.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tilegrad::data::Normalisation;
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::models::{NamedModel, Networks};
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, Engine, ModelCard, weights};

use program::example;
use scratch::Scratch;

const NAMES: [&str; 3] = ["cat", "dog, \"big\"", "猫"];

/// Writes a model for images of 28x28, with one value of fc3.bias replaced.
fn model(path: &Path, bias: f32) {
    let card = ModelCard::new(
        NamedModel::new("lenet5", 3),
        ImageSize::new(28, 28, 1),
        NAMES,
        Normalisation::new([0.5; 3], [0.5; 3]),
    );
    let model = card.build(&Networks::new()).unwrap();
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([1, 1, 28, 28])).unwrap();
    model.forward(&mut tape, input).unwrap();
    let mut engine = CpuEngine::new();
    engine.initialise(&tape, 1).unwrap();
    let last = tape.parameters().into_iter().map(|id| tape.tensor(id)).next_back().unwrap();
    let mut values = engine.parameter(&last.name).unwrap();
    values[0] = bias;
    engine.set_parameter(&last.name, &values).unwrap();
    weights::save_with(path, &tape, &mut engine, &card.to_metadata()).unwrap();
}

/// A folder with a model and images: four of each class.
fn folder(name: &str) -> (Scratch, String, String) {
    let folder = Scratch::new(name);
    for (class, name) in NAMES.iter().enumerate() {
        for i in 0..4 {
            let path = folder.path(&format!("data/{name}/{i}.png"));
            let pixel = |x: u32, y: u32| image::Luma([(x * 7 + y * (3 + i) + 60 * class as u32) as u8]);
            image::GrayImage::from_fn(28, 28, pixel).save(path).unwrap();
        }
    }
    model(&folder.join("model.safetensors"), 0.1);
    let (model, data) = (folder.text("model.safetensors"), folder.text("data"));
    (folder, model, data)
}

fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = example(name).args(arguments).args(["--device", "cpu"]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect()
}

#[test]
fn evaluate_lists_every_image_by_its_loss() {
    let (folder, model, data) = folder("evaluate");
    // The file does not say what it was trained on: all images of the folder.
    let (file, out) = (folder.text("all.csv"), folder.text("out"));
    let (code, text, errors) = run("evaluate", &[&model, "--data", &data, "--csv", &file, "--out", &out]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("f1-score") && text.contains("balanced accuracy"), "{text}");
    let table = std::fs::read_to_string(&file).unwrap();
    assert!(table.starts_with("path,truth,prediction,probability,loss\n"), "{table}");
    let all = rows(&table);
    assert_eq!(all.len(), table.lines().count() - 1, "a line an image");
    let losses: Vec<f64> = all.iter().map(|row| row[4].parse().unwrap()).collect();
    assert!(all.len() >= 6 && losses.is_sorted_by(|a, b| a >= b), "{losses:?}");
    for row in &all {
        let class = Path::new(&row[0]).parent().unwrap().file_name().unwrap().to_str().unwrap();
        let probability: f64 = row[3].parse().unwrap();
        assert!(row[1] == class && NAMES.contains(&row[2].as_str()) && (1.0 / 3.0..=1.0).contains(&probability));
        // The loss of a right prediction is that of its probability.
        let loss: f64 = row[4].parse().unwrap();
        assert!(row[1] != row[2] || (loss + probability.ln()).abs() < 1e-5, "{row:?}");
    }
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(text.contains(&format!("loss {mean:.4}")), "{mean}: {text}");

    // Its mistakes, the most confident first, and the words for them.
    let wrong = rows(&std::fs::read_to_string(folder.join("out/mistakes.csv")).unwrap());
    let confidence: Vec<f64> = wrong.iter().map(|row| row[3].parse().unwrap()).collect();
    assert!(confidence.is_sorted_by(|a, b| a >= b), "{confidence:?}");
    assert_eq!(wrong.len(), all.iter().filter(|row| row[1] != row[2]).count());
    assert!(wrong.iter().all(|row| all.contains(row)) && !wrong.is_empty());
    assert!(folder.join("out/mistakes.png").exists() && folder.join("out/confusion.png").exists());
    let (truth, predicted) = (&wrong[0][1], &wrong[0][2]);
    let pair = wrong.iter().filter(|row| row[1] == *truth && row[2] == *predicted).count();
    let of = all.iter().filter(|row| row[1] == *truth).count();
    let verb = if pair == 1 { "was" } else { "were" };
    let sentence = format!("{pair} of {of} images of {truth} {verb} taken for {predicted}");
    assert!(text.contains(&sentence), "{sentence}: {text}");
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let (folder, _, data) = folder("nan");
    let broken = folder.text("broken.safetensors");
    for bias in [f32::NAN, f32::INFINITY] {
        model(Path::new(&broken), bias);
        for (name, arguments) in [("predict", vec![&*broken, &*data]), ("evaluate", vec![&*broken, "--data", &*data])] {
            let (code, text, errors) = run(name, &arguments);
            assert_eq!(code, Some(2), "{name}: {text}");
            assert!(errors.contains("bias\" has 1 of 3 values that are NaN or infinite"), "{name}: {errors}");
            assert!(!text.contains('%') && !text.contains("NaN"), "{name}: {text}");
        }
    }
    // Huge weights are no error while the softmax of their logits is a number.
    model(Path::new(&broken), f32::MAX);
    let (code, text, _) = run("predict", &[&broken, &data]);
    assert!(code == Some(0) && text.contains("cat 100.0%"), "{text}");
}

#[test]
fn predict_goes_on_after_what_it_cannot_read() {
    let (folder, model, data) = folder("goes-on");
    let named = folder.write("photo", std::fs::read(folder.join("data/cat/0.png")).unwrap());
    let cut = std::fs::read(folder.join("data/cat/1.png")).unwrap();
    let cut = folder.write("cut.png", &cut[..cut.len() / 2]);
    folder.write("empty/notes.txt", "none");
    let (missing, empty) = (folder.text("missing.png"), folder.text("empty"));
    let images = [&missing, cut.to_str().unwrap(), &empty, named.to_str().unwrap(), &data];
    let arguments: Vec<&str> = std::iter::once(&*model).chain(images).chain(["--json"]).collect();
    let (code, text, errors) = run("predict", &arguments);
    assert_eq!(code, Some(2), "{errors}");
    for part in ["missing.png", "cut.png", "empty: holds no image", "1 of 14 images could not be predicted"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 13, "{text}");
    for line in &lines {
        let by_class = line["probabilities"].as_object().unwrap();
        let sum: f64 = by_class.values().map(|value| value.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9 && by_class[line["class"].as_str().unwrap()] == line["probability"]);
    }
    assert_eq!(lines[0]["path"].as_str(), named.to_str(), "it has no ending, and is named");

    let (code, text, _) = run("predict", &[&model, &data, "--csv", "--top", "2"]);
    assert!(code == Some(0) && text.starts_with("path,class,probability,class_2,probability_2\n"), "{text}");
    let rows = rows(&text);
    assert!(rows.len() == 12 && rows.iter().all(|row| NAMES.contains(&&*row[1]) && NAMES.contains(&&*row[3])));

    // A folder has a summary, whose counts are those of its lines.
    let (code, text, _) = run("predict", &[&model, &data, "--top", "1"]);
    let (lines, summary) = text.split_once("\n\n").unwrap();
    assert!(code == Some(0) && lines.lines().count() == 12 && summary.starts_with("12 images\n"), "{text}");
    for line in summary.lines().skip(1) {
        let (count, name) = line.trim().split_once("  ").unwrap();
        let found = rows.iter().filter(|row| row[1] == name).count();
        assert_eq!(count, found.to_string(), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn predict_takes_each_file_once_and_no_fifo() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let (folder, model, data) = folder("once");
    let inside = folder.join("data/cat");
    symlink(&*folder, inside.join("up")).unwrap();
    symlink(&inside, inside.join("self")).unwrap();
    symlink(inside.join("0.png"), inside.join("again.png")).unwrap();
    std::fs::copy(inside.join("0.png"), inside.join(".hidden.png")).unwrap();
    std::fs::create_dir(inside.join(".thumbs")).unwrap();
    std::fs::copy(inside.join("0.png"), inside.join(".thumbs/0.png")).unwrap();
    let odd = inside.join(OsStr::from_bytes(b"a\xff\n.png"));
    std::fs::copy(inside.join("0.png"), &odd).unwrap();
    let fifo = folder.join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let first = folder.text("data/cat/0.png");
    let (code, text, errors) =
        run("predict", &[&model, &first, &data, &data, fifo.to_str().unwrap(), "/dev/zero", "--top", "1"]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("pipe.png: is a FIFO") && errors.contains("/dev/zero: is a FIFO, socket or device"),
        "{errors}"
    );
    let (lines, _) = text.split_once("\n\n").unwrap();
    assert_eq!(lines.lines().count(), 13, "{text}");
    assert!(lines.contains("a\\xff\\n.png  "), "{text}");

    // A reader that goes away ends it quietly.
    let arguments = [&*model, &*data, "--device", "cpu"];
    let mut child = example("predict").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
