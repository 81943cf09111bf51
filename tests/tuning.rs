//! `--tune` and `--pin` as a person meets them: a tuned run repeats to the bit, and wrong requests are named.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::Output;

use program::example;
use scratch::Scratch;

/// The lenet example, with a cache of this test's own.
fn lenet(folder: &Path, arguments: &[&str]) -> Output {
    example("lenet")
        .args(["--data", folder.join("data").to_str().unwrap(), "--epochs", "2", "--batch-size", "16"])
        .args(arguments)
        .env("TILEGRAD_CACHE_DIR", folder.join("cache"))
        .output()
        .unwrap()
}

/// A folder with a data set of 60 and 10 images.
fn folder(name: &str) -> Scratch {
    let folder = Scratch::new(name);
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let idx = |magic: u32, extents: &[u32], bytes: usize| {
        let mut content = magic.to_be_bytes().to_vec();
        extents.iter().for_each(|extent| content.extend(extent.to_be_bytes()));
        content.extend((0..bytes).map(|i| (i * i / 7 % 10) as u8));
        content
    };
    for (name, count) in [("train", 60), ("t10k", 10)] {
        let images = idx(0x803, &[count, 28, 28], count as usize * 784);
        std::fs::write(data.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        let labels = idx(0x801, &[count], count as usize);
        std::fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    folder
}

fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).to_string(), String::from_utf8_lossy(&output.stderr).to_string())
}

#[test]
fn a_tuned_run_repeats_to_the_bit_where_its_choices_are_pinned() {
    if std::env::var_os("TILEGRAD_SKIP_GPU").is_some() {
        eprintln!("SKIPPED: tuning needs a GPU, and TILEGRAD_SKIP_GPU is set");
        return;
    }
    let folder = folder("pinned");
    let [tuned, pinned] = ["tuned", "pinned"].map(|name| folder.join(name));
    let (out, errors) = text(&lenet(&folder, &["--tune", "--out", tuned.to_str().unwrap()]));
    assert!(out.contains("shapes measured in") && out.contains(" 0 known"), "{out}{errors}");
    let choices = tuned.join("choices.json");
    let (out, errors) = text(&lenet(&folder, &["--pin", choices.to_str().unwrap(), "--out", pinned.to_str().unwrap()]));
    assert!(out.contains("pinned   "), "{out}{errors}");
    for name in ["model.safetensors", "losses.csv", "choices.json"] {
        let [a, b] = [&tuned, &pinned].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    let (out, errors) = text(&lenet(&folder, &["--tune"]));
    assert!(out.contains("tuned    0 shapes measured"), "{out}{errors}");

    // What can't be repeated is named: file, key, choice and the way out.
    let whole = std::fs::read_to_string(&choices).unwrap();
    let first = whole.lines().find(|line| line.contains("conv2d ")).unwrap();
    let (key, _) = first.trim().split_once("\": \"").unwrap();
    std::fs::write(&choices, whole.replace(first, &format!("    {key}\": \"winograd\","))).unwrap();
    let output = lenet(&folder, &["--pin", choices.to_str().unwrap()]);
    let (_, errors) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["choices.json", "conv2d stride=", "winograd", "direct", "--tune"] {
        assert!(errors.contains(part), "\"{part}\" is not in: {errors}");
    }
}

#[test]
fn wrong_requests_are_named() {
    let folder = folder("wrong");
    let file = folder.join("choices.json");
    let pin = ["--device", "cpu", "--pin", file.to_str().unwrap()];
    let refuses = |arguments: &[&str], expected: &[&str]| {
        let output = lenet(&folder, arguments);
        let (_, errors) = text(&output);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        expected.iter().for_each(|part| assert!(errors.contains(part), "\"{part}\" is not in: {errors}"));
    };
    refuses(&pin, &["choices.json", "No such file"]);
    std::fs::write(&file, "{\"format\": ").unwrap();
    refuses(&pin, &["choices.json", "is no JSON"]);
    std::fs::write(&file, "{\"format\": \"tilegrad choices 2\"}").unwrap();
    refuses(&pin, &["choices.json", "reference executor", "leave it out"]);
    refuses(&[&pin[..], &["--tune"]].concat(), &["pin", "--tune", "leave one out"]);
    let output = lenet(&folder, &["--device", "cpu", "--tune"]);
    let (out, errors) = text(&output);
    assert!(output.status.success() && out.contains("tuned    nothing: the reference executor"), "{out}{errors}");
}
