//! The finetune example as a person meets it: what it keeps of a file and what it changes, and which files it refuses.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use safetensors::SafeTensors;
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::Module;
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::train::{CpuEngine, Engine, weights};

use program::example;
use scratch::Scratch;

/// A folder for one run of the example.
struct Folder(Scratch);

impl Folder {
    fn new(test: &str) -> Self {
        Folder(Scratch::new(test))
    }

    /// The state_dict of `model`, which takes images of `shape`, with random first values.
    fn state_dict(&self, model: &dyn Module, shape: [usize; 3]) -> String {
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32([1, shape[0], shape[1], shape[2]])).unwrap();
        model.forward(&mut tape, input).unwrap();
        let mut engine = CpuEngine::new();
        engine.initialise(&tape, 7).unwrap();
        let path = self.0.join("weights.safetensors");
        weights::save(&path, &tape, &mut engine).unwrap();
        path.to_str().unwrap().into()
    }

    /// Images of three classes, 8 of each to train on and 2 to test on, 16x16.
    fn images(&self) -> String {
        let data = self.0.join("data");
        for (class, colour) in [("blue", [20, 40, 200]), ("green", [20, 200, 40]), ("red", [200, 20, 40])] {
            for (part, count) in [("train", 8), ("test", 2)] {
                let dir = data.join(part).join(class);
                std::fs::create_dir_all(&dir).unwrap();
                for i in 0..count {
                    let shade = |x: u32, y: u32| image::Rgb(colour.map(|c| c + ((x * 7 + y * 13 + i * 5) % 40) as u8));
                    image::RgbImage::from_fn(16, 16, shade).save(dir.join(format!("{i}.png"))).unwrap();
                }
            }
        }
        data.to_str().unwrap().into()
    }

    fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    /// The example on the reference executor.
    fn finetune(&self, arguments: &[&str]) -> Output {
        example("finetune").args(arguments).args(["--device", "cpu", "--out"]).arg(self.out()).output().unwrap()
    }

    /// That the example refuses these arguments with exit code 2, says each of `expected`, and writes nothing.
    fn refuses(&self, arguments: &[&str], expected: &[&str]) {
        let output = self.finetune(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(expected.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
        // No line of a training has been printed: neither the new layer's nor a first network's.
        assert!(!String::from_utf8_lossy(&output.stdout).contains("epoch "), "{arguments:?}");
        assert!(!self.out().exists(), "{arguments:?}");
    }
}

/// Shapes and bytes by name.
fn content(path: impl AsRef<Path>) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.into(), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

/// Whether the optimizer of a whole network would train what is called so.
fn is_parameter(name: &str) -> bool {
    name.ends_with(".weight") || name.ends_with(".bias")
}

#[test]
fn everything_but_the_last_layer_is_kept_to_the_bit_and_running_statistics_move() {
    // The width, the stem and the number of classes are the file's own.
    for (name, model, size) in
        [("small", ResNet::resnet18(5).cifar().width(2), "16"), ("large", ResNet::resnet18(7).width(3), "64")]
    {
        let folder = Folder::new(name);
        let (weights, data) = (folder.state_dict(&model, [3, 64, 64]), folder.images());
        let arguments =
            ["--weights", &weights, "--data", &data, "--resize", size, "--epochs", "2", "--batch-size", "6"];
        let output = folder.finetune(&arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("22 to train, 2 to validate, 6 to test"), "{text}");

        let (before, after) = (content(&weights), content(folder.out().join("model.safetensors")));
        assert!(before.keys().eq(after.keys()));
        let frozen = before.keys().filter(|name| is_parameter(name) && !name.starts_with("fc."));
        assert_eq!(frozen.clone().count(), 60);
        assert!(frozen.clone().all(|name| before[name] == after[name]));
        let features = before["fc.weight"].0[1];
        assert_eq!((&after["fc.weight"].0, &after["fc.bias"].0), (&vec![3, features], &vec![3]));
        // Two epochs of four batches.
        let counters = after.iter().filter(|(name, _)| name.ends_with("num_batches_tracked"));
        assert!(counters.clone().count() == 20 && counters.into_iter().all(|(_, v)| v.1 == 8_i64.to_le_bytes()));
        let means = before.keys().filter(|name| name.ends_with("running_mean"));
        assert!(means.into_iter().all(|name| before[name] != after[name]));

        let summary: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.out().join("summary.json")).unwrap()).unwrap();
        let trained = 3 * features + 3;
        assert_eq!(summary["trained_parameters"], trained);
        let line = format!("trained  {trained} of {} parameters", summary["parameters"]);
        assert!(text.contains(&line) && text.contains("before   test loss"), "{line}: {text}");
    }
}

#[test]
fn the_last_layer_is_new_even_where_the_number_of_classes_is_the_same() {
    let folder = Folder::new("same");
    let weights = folder.state_dict(&ResNet::resnet18(3).cifar().width(2), [3, 16, 16]);
    let data = folder.images();
    let fixed = ["--weights", &weights, "--data", &data, "--epochs", "1", "--lr", "0", "--batch-size", "12"];
    assert!(folder.finetune(&fixed).status.success());
    let (before, after) = (content(&weights), content(folder.out().join("model.safetensors")));
    assert_eq!(before["fc.weight"].0, after["fc.weight"].0);
    assert_ne!(before["fc.weight"].1, after["fc.weight"].1);
    assert_eq!(before["conv1.weight"], after["conv1.weight"]);

    // For comparison nothing else is the file's either.
    assert!(folder.finetune(&[&fixed[..], &["--random"]].concat()).status.success());
    let random = content(folder.out().join("model.safetensors"));
    assert_eq!(random["fc.weight"], after["fc.weight"], "one seed, one first layer");
    assert_eq!(random["conv1.weight"].0, before["conv1.weight"].0);
    assert_ne!(random["conv1.weight"], before["conv1.weight"]);
}

#[test]
fn a_file_of_something_else_is_refused_by_what_is_in_it() {
    let folder = Folder::new("wrong");
    let data = folder.images();
    let with = |weights: &str, expected: &[&str]| {
        folder.refuses(&["--weights", weights, "--data", &data, "--batch-size", "6"], expected);
    };
    with("/nowhere/at/all.safetensors", &["/nowhere/at/all.safetensors", "--help"]);
    with(&format!("{data}/train/red/0.png"), &["0.png", "no safetensors file"]);
    with(
        &folder.state_dict(&LeNet5::new(10), [1, 28, 28]),
        &["weights.safetensors", "no ResNet-18", "conv1.weight", "[6, 1, 5, 5]", "[width, 3, 7, 7]"],
    );
    with(
        &folder.state_dict(&Vgg::vgg11(10).width(2).cifar(), [3, 32, 32]),
        &["no ResNet-18", "\"conv1.weight\" is missing"],
    );

    // All names that do not fit are listed: those of a network with more blocks, and those that a file lacks.
    let more = folder.state_dict(&ResNet::resnet34(10).cifar().width(2), [3, 16, 16]);
    with(&more, &["\"layer1.2.conv1.weight\" is unexpected", "\"layer4.2.bn2.running_var\" is unexpected"]);
    let bytes = std::fs::read(folder.state_dict(&ResNet::resnet18(10).cifar().width(2), [3, 16, 16])).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.retain(|(name, _)| name != "layer3.0.downsample.0.weight" && name != "bn1.running_mean");
    let fewer = folder.0.join("fewer.safetensors");
    std::fs::write(&fewer, safetensors::serialize(tensors, None).unwrap()).unwrap();
    with(
        fewer.to_str().unwrap(),
        &["fewer.safetensors", "\"layer3.0.downsample.0.weight\" is missing", "\"bn1.running_mean\" is missing"],
    );
}

#[test]
fn a_request_is_looked_at_before_a_first_network_is_trained_for_it() {
    let folder = Folder::new("request");
    folder.refuses(&["--lr", "nan"], &["lr", "NaN"]);
    folder.refuses(&["--epochs", "0"], &["epochs", "at least 1"]);
    folder.refuses(&["--schedule", "linear"], &["linear", "cosine"]);
    folder.refuses(&["--data", "/nowhere/at/all"], &["/nowhere/at/all", "--help"]);
    let data = folder.images();
    folder.refuses(&["--data", &data, "--resize", "0"], &["resize", "must be 1 to"]);
    std::fs::write(Path::new(&data).join("test_batch.bin"), []).unwrap();
    folder.refuses(&["--data", &data, "--resize", "32"], &["resize", "CIFAR-10"]);
}
