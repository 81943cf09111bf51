//! The logits example as a person meets it: weights out and in again, and what it says of wrong input.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::Output;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use program::example;
use scratch::Scratch;

/// The example on the reference executor.
fn logits(arguments: &[&str]) -> Output {
    example("logits").args(arguments).args(["--device", "cpu"]).output().unwrap()
}

/// Writes one tensor called `name` of halves and quarters.
fn write_tensor(path: &Path, name: &str, shape: &[usize]) {
    let values = (0..shape.iter().product::<usize>()).map(|i| (i * 7 % 9) as f32 / 4.0 - 1.0);
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &bytes).unwrap();
    std::fs::write(path, safetensors::serialize([(name, view)], None).unwrap()).unwrap();
}

#[test]
fn saved_weights_give_the_same_logits_again() {
    let folder = Scratch::new("again");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    write_tensor(Path::new(&path("input")), "input", &[2, 3, 33, 40]);
    let shared = ["--model", "resnet18", "--classes", "4", "--input", &path("input")];
    let run = |more: &[&str]| {
        let output = logits(&[&shared[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("image 1  classes "), "a line an image");
    };
    run(&["--seed", "5", "--save", &path("weights"), "--output", &path("drawn")]);
    // Of another seed, which loaded weights make of no account.
    run(&["--seed", "6", "--weights", &path("weights"), "--output", &path("loaded")]);
    run(&["--seed", "6", "--output", &path("other")]);
    let read = |name: &str| {
        let bytes = std::fs::read(path(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor("logits").unwrap();
        assert_eq!(view.shape(), [2, 4]);
        view.data().to_vec()
    };
    assert_eq!(read("drawn"), read("loaded"));
    assert_ne!(read("drawn"), read("other"));

    // Strict: one class fewer does not fit.
    let arguments = ["--classes", "3", "--input", &path("input"), "--weights", &path("weights")];
    let output = logits(&[&arguments[..], &["--output", &path("none")]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("fc.weight") && text.contains("fc.bias"), "{text}");
    assert!(!folder.join("none").exists());
}

#[test]
fn wrong_input_is_named() {
    let folder = Scratch::new("wrong");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    write_tensor(Path::new(&path("gray")), "input", &[1, 1, 32, 32]);
    write_tensor(Path::new(&path("unnamed")), "images", &[1, 3, 32, 32]);
    std::fs::write(path("text"), "no tensors").unwrap();
    for (arguments, expected) in [
        (["--model", "resnet19"], "resnet19"),
        (["--model", "resnet18_bn"], "resnet18_bn"),
        (["--classes", "0"], "classes"),
        (["--input", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--input", &path("gray")], "[1, 1, 32, 32]"),
        (["--input", &path("unnamed")], "input"),
        (["--input", &path("text")], "text"),
        (["--weights", "/nowhere/at/all"], "/nowhere/at/all"),
    ] {
        let output = logits(&arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected) && text.contains("--help"), "{arguments:?}: {text}");
    }
}
