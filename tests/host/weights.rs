//! Files of parameters, buffers and optimizer state: PyTorch's types and names, and errors that list everything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::graph::{Purpose, Tape};
use tilegrad::nn::models::LeNet5;
use tilegrad::optim::{ParamGroup, Schedule, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};
use tilegrad::train::optimizer_state::{self, Counts};
use tilegrad::train::weights::{self, Load};
use tilegrad::train::{CpuEngine, Engine, TrainOptions, Trainer};
use tilegrad::twin::Value;

use crate::common::scratch::Scratch;

/// A folder with one file.
struct Folder(Scratch);

impl Folder {
    fn new(test: &str) -> Self {
        Folder(Scratch::new(test))
    }

    fn file(&self) -> PathBuf {
        self.0.join("file.safetensors")
    }
}

/// What a batch norm and a classifier declare.
fn tape() -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    tape.parameter("bn.weight", [2], Layout::RowMajor, Init::Constant(1.0)).unwrap();
    tape.buffer("bn.running_mean", [2], DType::F32, 0.0).unwrap();
    tape.buffer("bn.running_var", [2], DType::F32, 1.0).unwrap();
    tape.buffer("bn.num_batches_tracked", [1], DType::I32, 0.0).unwrap();
    tape.parameter("fc.weight", [3, 2], Layout::RowMajor, Init::Normal(1.0)).unwrap();
    tape.parameter("fc.bias", [3], Layout::RowMajor, Init::Normal(1.0)).unwrap();
    tape.parameter("fc1.bias", [1], Layout::RowMajor, Init::Normal(1.0)).unwrap();
    tape
}

fn engine(tape: &Tape, seed: u64) -> CpuEngine {
    let mut engine = CpuEngine::new();
    engine.initialise(tape, seed).unwrap();
    engine
}

/// Everything that is kept for `tape`.
fn kept(tape: &Tape, engine: &mut CpuEngine) -> Vec<Value<f32>> {
    let parameters = tape.parameters().into_iter().map(|id| tape.tensor(id).name.clone());
    let mut values: Vec<Value<f32>> = parameters.map(|name| Value::Real(engine.parameter(&name).unwrap())).collect();
    values.extend(tape.buffers().into_iter().map(|id| engine.buffer(tape.tensor(id)).unwrap()));
    values
}

type Entry<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// What `tape` has, as PyTorch would write it.
fn entries() -> Vec<Entry<'static>> {
    vec![
        ("bn.weight", Dtype::F32, &[2], f32s(&[1.5, -2.0])),
        ("bn.running_mean", Dtype::F32, &[2], f32s(&[0.25, 4.0])),
        ("bn.running_var", Dtype::F32, &[2], f32s(&[3.0, 5.0])),
        ("bn.num_batches_tracked", Dtype::I64, &[], 12_345i64.to_le_bytes().to_vec()),
        ("fc.weight", Dtype::F32, &[3, 2], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("fc.bias", Dtype::F32, &[3], f32s(&[7.0, 8.0, 9.0])),
        ("fc1.bias", Dtype::F32, &[1], f32s(&[10.0])),
    ]
}

fn write(path: &Path, entries: &[Entry<'_>], metadata: &[(&str, &str)]) {
    let view = |(name, dtype, shape, bytes): &Entry<'_>| -> (String, Vec<u8>, Dtype, Vec<usize>) {
        (name.to_string(), bytes.clone(), *dtype, shape.to_vec())
    };
    let owned: Vec<_> = entries.iter().map(view).collect();
    let views = owned
        .iter()
        .map(|(name, bytes, dtype, shape)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    std::fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

/// Replaces, or removes, the entry called `name`.
fn with(mut entries: Vec<Entry<'static>>, name: &str, entry: Option<Entry<'static>>) -> Vec<Entry<'static>> {
    entries.retain(|(other, ..)| *other != name);
    entries.extend(entry);
    entries
}

#[test]
fn buffers_and_parameters_lie_in_one_file_as_pytorch_has_them() {
    let folder = Folder::new("buffers");
    let tape = tape();
    let mut first = engine(&tape, 1);
    first.set_buffer("bn.running_mean", Value::Real(vec![0.25, -4.0])).unwrap();
    first.set_buffer("bn.num_batches_tracked", Value::Int(vec![i32::MAX])).unwrap();
    weights::save(&folder.file(), &tape, &mut first).unwrap();

    let bytes = std::fs::read(folder.file()).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.names().len(), 7);
    let tracked = file.tensor("bn.num_batches_tracked").unwrap();
    assert_eq!((tracked.dtype(), tracked.shape()), (Dtype::I64, &[][..]));
    assert_eq!(tracked.data(), i64::from(i32::MAX).to_le_bytes());
    assert_eq!(file.tensor("bn.running_mean").unwrap().data(), f32s(&[0.25, -4.0]));

    let mut second = engine(&tape, 2);
    assert_ne!(kept(&tape, &mut first), kept(&tape, &mut second));
    weights::load(&folder.file(), &tape, &mut second).unwrap();
    assert_eq!(kept(&tape, &mut first), kept(&tape, &mut second));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn numbers_of_other_types_are_converted() {
    let folder = Folder::new("types");
    let tape = tape();
    let mut all = with(entries(), "bn.weight", Some(("bn.weight", Dtype::F16, &[2], vec![0x00, 0x3e, 0x00, 0xc0])));
    all = with(all, "fc1.bias", Some(("fc1.bias", Dtype::BF16, &[1], vec![0x20, 0x41])));
    let doubles = [7.0f64, 8.0, 9.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    all = with(all, "fc.bias", Some(("fc.bias", Dtype::F64, &[3], doubles)));
    let (mut converted, mut plain) = (engine(&tape, 1), engine(&tape, 2));
    write(&folder.file(), &all, &[]);
    weights::load(&folder.file(), &tape, &mut converted).unwrap();
    write(&folder.file(), &entries(), &[]);
    weights::load(&folder.file(), &tape, &mut plain).unwrap();
    assert_eq!(kept(&tape, &mut converted), kept(&tape, &mut plain));
    assert_eq!(plain.parameter("bn.weight").unwrap(), [1.5, -2.0]);
    let id = tape.buffers()[2];
    assert_eq!(plain.buffer(tape.tensor(id)).unwrap(), Value::Int(vec![12_345]));
}

#[test]
fn everything_that_is_wrong_is_in_one_error_and_nothing_changes() {
    let folder = Folder::new("wrong");
    let tape = tape();
    let mut all = with(entries(), "fc.bias", Some(("fc.bias", Dtype::F32, &[4], f32s(&[0.0; 4]))));
    all = with(all, "bn.running_var", None);
    all = with(all, "bn.weight", Some(("bn.weight", Dtype::I32, &[2], vec![0; 8])));
    let large = (1i64 << 31).to_le_bytes().to_vec();
    all = with(all, "bn.num_batches_tracked", Some(("bn.num_batches_tracked", Dtype::I64, &[], large)));
    all.push(("head.weight", Dtype::F32, &[1], f32s(&[0.0])));
    write(&folder.file(), &all, &[]);
    let mut engine = engine(&tape, 1);
    let before = kept(&tape, &mut engine);
    let load = Load::strict().skip("classifier.");
    let error = weights::load_with(&folder.file(), &tape, &mut engine, &load).unwrap_err().to_string();
    for part in [
        "\"fc.bias\" is [4] of F32, expected [3] of F32",
        "\"bn.running_var\" is missing",
        "\"bn.weight\" is [2] of I32, expected [2] of F32",
        "\"bn.num_batches_tracked\" is beyond a 32-bit number: [2147483648]",
        "\"head.weight\" is unexpected",
        "\"classifier.\" is to be skipped, and neither the file nor the model has it",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(error.matches(';').count(), 5, "{error}");
    assert_eq!(kept(&tape, &mut engine), before);

    let counter = |dtype, shape, bytes| ("bn.num_batches_tracked", dtype, shape, bytes);
    for wrong in [counter(Dtype::F32, &[][..], f32s(&[1.0])), counter(Dtype::I64, &[1][..], vec![0; 8])] {
        write(&folder.file(), &with(entries(), "bn.num_batches_tracked", Some(wrong)), &[]);
        let error = weights::load(&folder.file(), &tape, &mut engine).unwrap_err().to_string();
        assert!(error.contains("expected [] of I64"), "{error}");
    }
    let error = weights::load(&folder.0.join("none"), &tape, &mut engine).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}

#[test]
fn what_is_skipped_is_neither_required_nor_read() {
    let folder = Folder::new("partial");
    let tape = tape();
    // Another number of classes, and a head of the file's own.
    let mut all = with(entries(), "fc.weight", Some(("fc.weight", Dtype::F32, &[4, 2], f32s(&[0.0; 8]))));
    all = with(all, "fc.bias", None);
    all.push(("aux.bias", Dtype::F32, &[1], f32s(&[0.0])));
    write(&folder.file(), &all, &[]);
    let mut engine = engine(&tape, 1);
    let (weight, bias) = (engine.parameter("fc.weight").unwrap(), engine.parameter("fc.bias").unwrap());
    for module in ["fc", "fc."] {
        let error = weights::load_with(&folder.file(), &tape, &mut engine, &Load::strict().skip(module)).unwrap_err();
        assert!(error.to_string().ends_with(": \"aux.bias\" is unexpected"), "{error}");
    }
    let load = Load::strict().without(["fc.", "aux.bias"]);
    weights::load_with(&folder.file(), &tape, &mut engine, &load).unwrap();
    assert_eq!((engine.parameter("fc.weight").unwrap(), engine.parameter("fc.bias").unwrap()), (weight, bias));
    assert_eq!(engine.parameter("fc1.bias").unwrap(), [10.0], "fc1 is not fc");
    assert_eq!(engine.parameter("bn.weight").unwrap(), [1.5, -2.0]);
    for module in ["f", "fc.weight.", ""] {
        let load = Load::strict().skip("fc").skip("aux").skip(module);
        let error = weights::load_with(&folder.file(), &tape, &mut engine, &load).unwrap_err().to_string();
        assert!(error.contains(&format!("\"{module}\" is to be skipped")), "{error}");
    }
}

/// A trainer over LeNet on the reference executor, with two parameter groups.
fn with_trainer<R>(epochs: usize, run: impl FnOnce(&mut Trainer, &mut ResidentSource, &mut ResidentSource) -> R) -> R {
    let (model, engine) = (LeNet5::new(10), CpuEngine::new());
    let mut train = ResidentSource::new("train", synthetic::digits(1, 20));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 4));
    let options = TrainOptions::default().epochs(epochs).batch_size(4).seed(1);
    let sgd =
        Sgd::new(0.05).momentum(0.9).weight_decay(5e-4).group(ParamGroup::new(|n| n.ends_with("bias")).lr_factor(2.0));
    // A rate that is another at every step of the two epochs, so that a run that goes on must know where it was.
    let schedule = Schedule::named("onecycle", &sgd, 2, 5).unwrap();
    let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap().schedule(schedule);
    run(&mut trainer, &mut train, &mut test)
}

/// How far a run is.
fn counts(trainer: &Trainer) -> Counts {
    Counts { steps: trainer.run().steps, epochs: trainer.run().epochs }
}

#[test]
fn a_run_goes_on_from_its_files_as_if_it_had_not_stopped() {
    let folder = Folder::new("resume");
    let (model_file, state_file) = (folder.file(), folder.0.join("optimizer.safetensors"));
    let whole = with_trainer(2, |trainer, train, test| trainer.fit(train, test).unwrap().losses);
    assert_eq!(whole.len(), 10);
    let first = with_trainer(1, |trainer, train, test| {
        let losses = trainer.fit(train, test).unwrap().losses;
        let tape = trainer.tape().clone();
        weights::save(&model_file, &tape, trainer.engine()).unwrap();
        trainer.save_optimizer(&state_file).unwrap();
        losses
    });
    let second = with_trainer(2, |trainer, train, test| {
        let tape = trainer.tape().clone();
        weights::load(&model_file, &tape, trainer.engine()).unwrap();
        trainer.load_optimizer(&state_file).unwrap();
        assert_eq!(counts(trainer), Counts { steps: 5, epochs: 1 });
        trainer.fit(train, test).unwrap().losses
    });
    assert_eq!([first, second].concat(), whole);
}

#[test]
fn the_state_has_pytorchs_groups_by_name() {
    let folder = Folder::new("state");
    with_trainer(1, |trainer, train, test| {
        // Before the first step there is no momentum buffer.
        trainer.save_optimizer(&folder.file()).unwrap();
        let bytes = std::fs::read(folder.file()).unwrap();
        assert!(SafeTensors::deserialize(&bytes).unwrap().names().is_empty());
        trainer.load_optimizer(&folder.file()).unwrap();
        assert_eq!(counts(trainer), Counts::default());

        trainer.fit(train, test).unwrap();
        trainer.save_optimizer(&folder.file()).unwrap();
        let expected = trainer.engine().optimizer_buffer("conv1.weight", "momentum_buffer").unwrap();
        let bytes = std::fs::read(folder.file()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let buffer = file.tensor("state.conv1.weight.momentum_buffer").unwrap();
        assert_eq!((buffer.data(), buffer.shape().len()), (&*f32s(&expected), 4));
        assert_eq!(file.names().len(), trainer.tape().parameters().len());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let get = |key: &str| metadata[key].as_str();
        assert_eq!((get("format"), get("step"), get("epoch")), ("pt", "5", "1"));
        let groups: serde_json::Value = serde_json::from_str(get("param_groups")).unwrap();
        assert_eq!((&groups[0]["lr"], &groups[0]["weight_decay"]), (&0.1.into(), &0.0.into()));
        assert_eq!((&groups[1]["lr"], &groups[1]["weight_decay"]), (&0.05.into(), &5e-4.into()));
        assert_eq!((&groups[1]["momentum"], &groups[1]["nesterov"]), (&0.9.into(), &false.into()));
        assert_eq!(groups[0]["params"][0], "conv1.bias");
        assert_eq!(groups[1]["params"][0], "conv1.weight");
    });
}

#[test]
fn a_wrong_state_is_named_in_full_and_changes_nothing() {
    let folder = Folder::new("wrong-state");
    with_trainer(1, |trainer, train, test| {
        trainer.fit(train, test).unwrap();
        trainer.save_optimizer(&folder.file()).unwrap();
        let bytes = std::fs::read(folder.file()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<(String, TensorView<'_>)> = file.tensors();
        tensors.retain(|(name, _)| name != "state.fc3.bias.momentum_buffer");
        let zero = f32s(&[0.0]);
        let one = || TensorView::new(Dtype::F32, vec![1], &zero).unwrap();
        for (name, view) in &mut tensors {
            if name == "state.conv1.bias.momentum_buffer" {
                *view = one();
            }
        }
        tensors.push(("state.other.momentum_buffer".into(), one()));
        let progress: HashMap<String, String> =
            [("step", "3"), ("epoch", "1")].map(|(k, v)| (k.into(), v.into())).into();
        std::fs::write(folder.file(), safetensors::serialize(tensors, Some(progress)).unwrap()).unwrap();
        let (before, momentum) =
            (counts(trainer), trainer.engine().optimizer_buffer("fc1.weight", "momentum_buffer").unwrap());
        let error = trainer.load_optimizer(&folder.file()).unwrap_err().to_string();
        for part in [
            "\"state.fc3.bias.momentum_buffer\" is missing",
            "\"state.conv1.bias.momentum_buffer\" is [1] of F32, expected [6] of F32",
            "\"state.other.momentum_buffer\" is unexpected",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(
            (counts(trainer), trainer.engine().optimizer_buffer("fc1.weight", "momentum_buffer").unwrap()),
            (before, momentum)
        );

        for (metadata, part) in [
            (vec![("epoch", "1")], "metadata \"step\" is missing"),
            (vec![("step", "-1"), ("epoch", "1")], "metadata \"step\" is \"-1\", expected a number"),
        ] {
            write(&folder.file(), &[], &metadata);
            let error = trainer.load_optimizer(&folder.file()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    });
    let tape = tape();
    let mut engine = engine(&tape, 1);
    assert!(engine.optimizer_buffer("nothing", "momentum_buffer").unwrap_err().to_string().contains("\"nothing\""));
    let error = engine.set_optimizer_buffer("fc.bias", "momentum_buffer", &[0.0]).unwrap_err().to_string();
    assert!(error.contains("fc.bias.momentum_buffer") && error.contains("has 3 values, got 1"), "{error}");
    optimizer_state::save(&folder.file(), &tape, &Sgd::new(0.1), Counts::default(), &mut engine).unwrap();
}
