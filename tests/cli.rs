//! The lenet example as a person meets it: its files, and what it says of wrong input.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::Output;

use program::example;
use scratch::Scratch;

fn lenet(arguments: &[&str]) -> Output {
    run("lenet", arguments)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().unwrap()
}

/// That the example refuses these arguments with exit code 2, says each of `expected`, and writes nothing.
fn refuses(name: &str, arguments: &[&str], expected: &[&str]) {
    let folder = Scratch::new(name);
    let out = folder.join("out");
    let mut all = arguments.to_vec();
    all.extend(["--out", out.to_str().unwrap()]);
    let output = lenet(&all);
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    for part in expected {
        assert!(text.contains(part), "{arguments:?}: \"{part}\" is not in: {text}");
    }
    assert!(!out.exists(), "{arguments:?} left {}", out.display());
}

#[test]
fn numbers_out_of_range_name_the_option() {
    refuses("lr", &["--lr", "nan", "--device", "cpu"], &["lr", "NaN", "at least 0"]);
    refuses("lr2", &["--lr=-1", "--device", "cpu"], &["lr", "-1"]);
    refuses("batch", &["--batch-size", "0", "--device", "cpu"], &["batch_size", "at least 1"]);
    refuses("epochs", &["--epochs", "0", "--device", "cpu"], &["epochs", "at least 1"]);
    refuses("momentum", &["--momentum=-0.5", "--device", "cpu"], &["momentum", "-0.5"]);
    refuses("decay", &["--weight-decay", "inf", "--device", "cpu"], &["weight_decay", "inf"]);
    refuses("l1", &["--l1=-1", "--device", "cpu"], &["l1", "-1"]);
    refuses("nesterov", &["--nesterov", "--dampening", "0.1", "--device", "cpu"], &["nesterov", "dampening 0", "0.1"]);
    refuses("nesterov2", &["--nesterov", "--momentum", "0", "--device", "cpu"], &["nesterov", "momentum above 0"]);
    refuses("word", &["--epochs", "many"], &["--epochs", "many"]);
    refuses("option", &["--learning-rate", "1"], &["--learning-rate"]);
}

#[test]
fn settings_of_large_networks_name_the_option() {
    for name in ["vgg", "resnet"] {
        for (arguments, expected) in [
            (["--layers", "17"], ["layers", "17"]),
            (["--width", "0"], ["width", "at least 1"]),
            (["--schedule", "linear"], ["linear", "cosine"]),
            (["--data", "/nowhere/at/all"], ["/nowhere/at/all", "--help"]),
        ] {
            let output = run(name, &[&arguments[..], &["--device", "cpu"]].concat());
            let text = String::from_utf8_lossy(&output.stderr).to_string();
            assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {text}");
            assert!(expected.iter().all(|part| text.contains(part)), "{name} {arguments:?}: {text}");
        }
    }
}

/// A folder of images by class, one file of which is no image: named, and left out only when that is asked for.
#[test]
fn a_large_network_trains_on_a_folder_of_images() {
    let (data, out) = (Scratch::new("images"), Scratch::new("images-out"));
    for (part, count) in [("train", 10), ("test", 2)] {
        for (class, shade) in [("bright", 220), ("dark", 30)] {
            let dir = data.join(part).join(class);
            std::fs::create_dir_all(&dir).unwrap();
            for i in 0..count {
                let image = image::RgbImage::from_pixel(32, 32, image::Rgb([shade + i, shade, shade - i]));
                image.save(dir.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    std::fs::write(data.join("train/dark/broken.png"), b"no image").unwrap();
    let mut arguments = vec!["--data", data.to_str().unwrap(), "--out", out.to_str().unwrap(), "--device", "cpu"];
    arguments.extend(["--width", "2", "--epochs", "2", "--batch-size", "6", "--augment", "--schedule", "cosine"]);
    let refused = run("vgg", &arguments);
    let text = String::from_utf8_lossy(&refused.stderr).to_string();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("broken.png"), "{text}");

    arguments.push("--skip-bad");
    let trained = run("vgg", &arguments);
    let (text, errors) = (String::from_utf8_lossy(&trained.stdout), String::from_utf8_lossy(&trained.stderr));
    assert!(trained.status.success(), "{errors}");
    assert!(errors.contains("skipped") && errors.contains("broken.png"), "{errors}");
    assert!(text.contains("18 to train, 2 to validate, 4 to test") && text.contains("cosine"), "{text}");
    let history = std::fs::read_to_string(out.join("history.csv")).unwrap();
    assert!(history.starts_with("epoch,") && history.lines().count() == 3, "{history}");
}

#[test]
fn an_adapter_that_does_not_exist_is_not_replaced() {
    refuses("adapter", &["--device", "Voodoo 3"], &["Voodoo 3"]);
}

/// A file of the IDX format.
fn idx(magic: u32, extents: &[u32], bytes: usize) -> Vec<u8> {
    let mut content = magic.to_be_bytes().to_vec();
    extents.iter().for_each(|extent| content.extend(extent.to_be_bytes()));
    content.extend((0..bytes).map(|i| (i % 10) as u8));
    content
}

/// The four files of a data set with 20 and 10 images.
fn data_set(folder: &Path) {
    for (name, count) in [("train", 20), ("t10k", 10)] {
        let images = idx(0x803, &[count, 28, 28], count as usize * 784);
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        let labels = idx(0x801, &[count], count as usize);
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
fn wrong_data_files_are_named() {
    let data = Scratch::new("data");
    let path = data.to_str().unwrap().to_string();
    let arguments = ["--data", &path, "--device", "cpu", "--epochs", "1"];
    refuses("nowhere", &["--data", "/no/such/folder", "--device", "cpu"], &["/no/such/folder"]);
    refuses("empty", &arguments, &["train-images"]);

    data_set(&data);
    let images = data.join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(&images, &whole[..whole.len() - 100]).unwrap();
    refuses("truncated", &arguments, &["train-images-idx3-ubyte", "15680", "15580"]);
    std::fs::write(&images, idx(0x803, &[19, 28, 28], 19 * 784)).unwrap();
    refuses("counts", &arguments, &["19", "20", "train-labels-idx1-ubyte"]);
    std::fs::write(&images, &whole).unwrap();
    // Every label of training is a class; a test can't have others.
    let labels = data.join("t10k-labels-idx1-ubyte");
    let mut wrong = std::fs::read(&labels).unwrap();
    wrong[8 + 7] = 10;
    std::fs::write(&labels, wrong).unwrap();
    refuses("labels", &arguments, &["t10k-labels-idx1-ubyte", "label 7, at offset 15, is 10", "0..=9"]);
    // Images of another size fit the files but not the network.
    data_set(&data);
    for (name, count) in [("train", 20_u32), ("t10k", 10)] {
        let small = idx(0x803, &[count, 8, 8], count as usize * 64);
        std::fs::write(data.join(format!("{name}-images-idx3-ubyte")), small).unwrap();
    }
    refuses("shapes", &arguments, &["conv2", "kernel is larger"]);
}

#[test]
fn a_run_on_the_cpu_writes_its_files() {
    let (data, out) = (Scratch::new("small"), Scratch::new("files"));
    data_set(&data);
    let arguments =
        ["--data", data.to_str().unwrap(), "--device", "cpu", "--epochs", "2", "--out", out.to_str().unwrap()];
    let output = lenet(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in ["reference executor", "61706", "epoch   2", "validation loss", "test     loss", "fitted: "] {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    for key in [
        "adapter",
        "parameters",
        "seed",
        "epochs",
        "steps",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "test_loss",
        "test_accuracy",
        "seconds",
        "images_per_second",
        "first_step_ms",
        "median_step_ms",
        "peak_gpu_bytes",
    ] {
        assert!(!summary[key].is_null(), "summary.json has no {key}: {summary}");
    }
    assert_eq!((&summary["epochs"], &summary["steps"]), (&2.into(), &2.into()));
    let history = std::fs::read_to_string(out.join("history.csv")).unwrap();
    assert_eq!(history.lines().count(), 3, "{history}");
    assert!(std::fs::read_to_string(out.join("curves.svg")).unwrap().contains("validation"));
    assert!(std::fs::read(out.join("curves.png")).unwrap().starts_with(b"\x89PNG"));
    let weights = std::fs::read(out.join("model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    assert_eq!(weights.tensor("conv2.weight").unwrap().shape(), [16, 6, 5, 5]);
}

#[test]
fn help_explains_every_option_of_sgd() {
    let output = lenet(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(output.status.success());
    for part in [
        "p -= lr * g",
        "b = momentum * b",
        "(1 - dampening) * g",
        "g += weight_decay * p",
        "g += l1 * sign(p)",
        "looks ahead",
    ] {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
}
