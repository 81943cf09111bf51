//! The examples train, evaluate and predict as a person meets them: a folder of images to a prediction, a run that is killed
//! and goes on, one that a file repeats, one that is planned but not made.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use program::example;
use scratch::Scratch;

fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().unwrap()
}

/// Standard output of a program that must succeed.
fn succeed(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error of a program that must refuse.
fn refuse(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {errors}");
    errors
}

/// A folder with images of three classes in it.
struct Folder(Scratch);

impl Folder {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        for (class, colour) in [("blue", [30, 40, 200]), ("green", [30, 190, 60]), ("red", [210, 50, 40])] {
            let dir = scratch.join("images").join(class);
            std::fs::create_dir_all(&dir).unwrap();
            for i in 0..24_u8 {
                let shade = |c: u8| c.saturating_add(i);
                let pixel = image::Rgb([shade(colour[0]), shade(colour[1]), shade(colour[2])]);
                image::RgbImage::from_pixel(20, 18, pixel).save(dir.join(format!("{i:02}.png"))).unwrap();
            }
        }
        Folder(scratch)
    }

    fn path(&self, name: &str) -> String {
        self.0.text(name)
    }

    /// Arguments of a small network on the images, whose run is in `out`.
    fn training<'a>(&'a self, out: &'a str, data: &'a str) -> Vec<&'a str> {
        let mut arguments = vec!["--model", "resnet18", "--width", "4", "--data", data, "--resize", "16", "--augment"];
        arguments.extend([
            "--epochs",
            "3",
            "--batch-size",
            "8",
            "--lr",
            "0.02",
            "--device",
            "cpu",
            "--seed",
            "2",
            "--out",
            out,
        ]);
        arguments
    }
}

/// What must be the same however a run came to its end.
fn end(dir: &str) -> Vec<(String, Vec<u8>)> {
    let read = |name: &str| std::fs::read(Path::new(dir).join(name)).unwrap();
    let mut files: Vec<(String, Vec<u8>)> =
        ["model.safetensors", "losses.csv", "confusion.txt"].map(|name| (name.to_string(), read(name))).into();
    // Times stand in the last two columns.
    let history = String::from_utf8(read("history.csv")).unwrap();
    let lines = history.lines().map(|line| line.rsplitn(3, ',').last().unwrap().to_string() + "\n");
    files.push(("history.csv".into(), lines.collect::<String>().into_bytes()));
    files
}

#[test]
fn a_folder_of_images_to_a_prediction() {
    let folder = Folder::new("folder");
    let (data, out) = (folder.path("images"), folder.path("run"));
    let mut arguments = folder.training(&out, &data);
    arguments.extend(["--pictures", "--tensorboard", "--keep-best", "--patience", "3"]);
    let text = succeed("train", &arguments);
    assert!(text.contains("51 to train, 7 to validate, 14 to test") && text.contains("accuracy"), "{text}");
    for file in [
        "config.toml",
        "history.csv",
        "losses.csv",
        "curves.svg",
        "curves.png",
        "confusion.txt",
        "confusion.png",
        "model.safetensors",
        "best.safetensors",
        "summary.json",
        "filters.png",
        "features.png",
    ] {
        assert!(folder.0.join("run").join(file).metadata().unwrap().len() > 0, "{file}");
    }
    assert_eq!(std::fs::read_dir(folder.0.join("run/tensorboard")).unwrap().count(), 1);

    let model = format!("{out}/model.safetensors");
    let text = succeed("evaluate", &[&model, "--data", &data, "--device", "cpu", "--out", &folder.path("evaluated")]);
    let tested: Value = serde_json::from_slice(&std::fs::read(folder.0.join("run/summary.json")).unwrap()).unwrap();
    let loss = format!("loss {:.4}, ", tested["test_loss"].as_f64().unwrap());
    assert!(text.contains(&loss) && text.contains("14 test images"), "{loss}: {text}");
    let accuracy = format!("accuracy {:.2}%", tested["test_accuracy"].as_f64().unwrap() * 100.0);
    assert!(text.contains(&accuracy) && text.contains("green"), "{accuracy}: {text}");
    assert!(folder.0.join("evaluated/confusion.png").exists());

    let file = format!("{data}/green/03.png");
    let text = succeed("predict", &[&model, &file, "--device", "cpu", "--top", "2"]);
    assert!(text.starts_with(&file) && text.matches('%').count() == 2, "{text}");
    std::fs::write(folder.0.join("images/green/broken.png"), b"none").unwrap();
    let output = run("predict", &[&model, &data, "--json", "--device", "cpu"]);
    assert_eq!(output.status.code(), Some(2), "one is broken");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let rows: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 72, "all but the broken one");
    let sum: f64 = rows[0]["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9 && ["blue", "green", "red"].contains(&rows[0]["class"].as_str().unwrap()));

    // What is wrong is named.
    let broken = format!("{data}/green/broken.png");
    assert!(refuse("predict", &[&model, &broken, "--device", "cpu"]).contains("broken.png"));
    assert!(refuse("predict", &[&file, &file, "--device", "cpu"]).contains("03.png: is no safetensors file"));
    let plain = folder.path("plain.safetensors");
    std::fs::write(
        &plain,
        safetensors::serialize(
            [("x", safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap())],
            None,
        )
        .unwrap(),
    )
    .unwrap();
    assert!(refuse("predict", &[&plain, &file]).contains("does not say what model it is of"));
    std::fs::create_dir_all(folder.0.join("other/a")).unwrap();
    std::fs::create_dir_all(folder.0.join("other/b")).unwrap();
    for class in ["a", "b"] {
        for i in 0..5 {
            std::fs::copy(&file, folder.0.join("other").join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    let other = folder.path("other");
    assert!(refuse("evaluate", &[&model, "--data", &other, "--device", "cpu"]).contains("a, b"), "other classes");
}

#[test]
fn each_augmentation_can_be_switched_off() {
    let folder = Folder::new("flip");
    let (data, plain, off) = (folder.path("images"), folder.path("plain"), folder.path("off"));
    let mut arguments = folder.training(&plain, &data);
    arguments.retain(|argument| *argument != "--augment");
    succeed("train", &arguments);
    let mut arguments = folder.training(&off, &data);
    arguments.extend(["--flip", "0", "--padding", "0"]);
    succeed("train", &arguments);
    assert!(end(&plain) == end(&off));
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bytes() {
    let folder = Folder::new("killed");
    let (data, whole, killed) = (folder.path("images"), folder.path("whole"), folder.path("killed"));
    succeed("train", &folder.training(&whole, &data));
    let mut arguments = folder.training(&killed, &data);
    arguments.extend(["--checkpoint-every", "1"]);
    // It is killed before it has written anything, in the middle, and close to its end.
    for (i, milliseconds) in [20, 300, 500, 700, 400].into_iter().enumerate() {
        let mut command = example("train");
        if Path::new(&killed).join("config.toml").exists() {
            command.args(["--resume", &killed]);
        } else {
            command.args(&arguments);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("error"), "start {i}: {errors}");
    }
    if !Path::new(&killed).join("config.toml").exists() {
        succeed("train", &arguments);
    } else {
        succeed("train", &["--resume", &killed]);
    }
    assert!(end(&killed) == end(&whole));
}

#[test]
fn a_run_repeats_from_its_file_and_what_stands_beside_it_goes_first() {
    let folder = Folder::new("config");
    let (data, first, second) = (folder.path("images"), folder.path("first"), folder.path("second"));
    succeed("train", &folder.training(&first, &data));
    let config = format!("{first}/config.toml");
    let quiet = succeed("train", &["--config", &config, "--out", &second, "--quiet"]);
    assert_eq!(quiet, "");
    assert!(end(&second) == end(&first));
    let third = folder.path("third");
    succeed("train", &["--config", &config, "--out", &third, "--seed", "2", "--epochs", "1"]);
    let history = std::fs::read_to_string(Path::new(&third).join("history.csv")).unwrap();
    assert_eq!(history.lines().count(), 2, "{history}");

    for (content, part) in [
        ("learning-rate = 1", "\"learning-rate\" is no option"),
        ("lr = ", "is no TOML"),
        ("augment = 3", "\"augment\" must be true or false"),
    ] {
        let wrong = folder.path("wrong.toml");
        std::fs::write(&wrong, content).unwrap();
        let errors = refuse("train", &["--config", &wrong]);
        assert!(errors.contains(part) && errors.contains("wrong.toml"), "{errors}");
    }
    assert!(refuse("train", &["--resume", &folder.path("nowhere")]).contains("nowhere"));
}

/// The options that change images, targets, gradients and where images come from; a run with them repeats.
#[test]
fn every_option_of_the_data_and_of_the_step_is_reached() {
    let folder = Folder::new("options");
    let (data, cache) = (folder.path("images"), folder.path("cache"));
    let sets: [&[&str]; 2] = [
        &[
            "--cutout",
            "4",
            "--jitter",
            "0.2",
            "--mixup",
            "0.2",
            "--label-smoothing",
            "0.1",
            "--stream",
            "--cache",
            &cache,
        ],
        &["--resized-crop", "--clip-grad-norm", "0.5", "--accumulate", "2", "--on-nan", "warn", "--schedule", "cosine"],
    ];
    let mut ends = Vec::new();
    for (i, set) in sets.iter().enumerate() {
        for again in ["a", "b"] {
            let out = folder.path(&format!("{i}{again}"));
            let mut arguments = folder.training(&out, &data);
            // A part of the image is taken in place of the padded crop.
            arguments.retain(|argument| *argument != "--augment" || i == 0);
            arguments.extend(*set);
            succeed("train", &arguments);
            ends.push(end(&out));
        }
    }
    assert!(ends[0] == ends[1] && ends[2] == ends[3] && ends[0] != ends[2]);
    assert!(Path::new(&cache).exists());
    for (arguments, part) in [
        (["--mixup", "0"], "alpha must be above 0"),
        (["--label-smoothing", "2"], "label_smoothing: must be 0 to 1"),
        (["--clip-grad-norm=-1", "--quiet"], "clip_grad_norm"),
        (["--patience", "0"], "patience: must be at least 1"),
        (["--accumulate", "0"], "accumulate: must be at least 1"),
        (["--checkpoint-minutes", "0"], "checkpoint_minutes: must be above 0"),
        (["--checkpoint-every", "0"], "checkpoint_every: must be at least 1"),
        (["--tensorboard", "--quiet"], "tensorboard: writes files: name a folder"),
        (["--jitter=-1", "--quiet"], "brightness must be 0 to 7"),
        (["--download", "imagenet"], "imagenet"),
    ] {
        let errors = refuse("train", &[&arguments[..], &["--device", "cpu"]].concat());
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_plan_says_what_a_run_needs_and_makes_nothing() {
    let folder = Folder::new("plan");
    let (data, out) = (folder.path("images"), folder.path("run"));
    let mut arguments = folder.training(&out, &data);
    arguments.push("--plan");
    let text = succeed("train", &arguments);
    assert!(text.contains("plans nothing"), "{text}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_run_that_has_not_ended_is_not_written_over() {
    let folder = Folder::new("unended");
    let (data, out) = (folder.path("images"), folder.path("run"));
    std::fs::create_dir_all(Path::new(&out).join("checkpoints")).unwrap();
    let errors = refuse("train", &folder.training(&out, &data));
    assert!(errors.contains("has not ended") && errors.contains("--resume"), "{errors}");
}

/// An interrupt, as Ctrl-C sends it, ends a run between two steps; it goes on to the same bytes.
#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_cleanly_and_goes_on() {
    let folder = Folder::new("interrupted");
    let (data, whole, out) = (folder.path("images"), folder.path("whole"), folder.path("run"));
    succeed("train", &folder.training(&whole, &data));
    let mut arguments = folder.training(&out, &data);
    arguments.extend(["--epochs", "3"]);
    let child = example("train").args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(900));
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // A fast machine may be done by then.
    if text.contains("stopped after step") {
        assert!(text.contains("--resume"), "{text}");
        succeed("train", &["--resume", &out]);
    }
    assert!(end(&out) == end(&whole));
}
