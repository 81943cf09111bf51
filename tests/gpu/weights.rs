//! Files between engines: buffers and optimizer state written by one and read by the other, and runs that go on from them.

use std::path::Path;

use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::gpu::Device;
use tilegrad::graph::{Purpose, Tape};
use tilegrad::nn::models::LeNet5;
use tilegrad::optim::{ParamGroup, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};
use tilegrad::train::{CpuEngine, Engine, GpuEngine, TrainOptions, Trainer, weights};
use tilegrad::twin::Value;

use crate::check::device;
use crate::common::scratch::Scratch;

#[test]
fn buffers_go_from_the_device_to_a_file_and_back() {
    let Some(device) = device() else { return };
    let folder = Scratch::new("buffers");
    let path = folder.join("model.safetensors");
    let mut tape = Tape::new(Purpose::Train);
    tape.parameter("conv.weight", [5, 3, 2, 2], Layout::Hwio, Init::Normal(1.0)).unwrap();
    tape.buffer("bn.running_var", [5], DType::F32, 1.0).unwrap();
    tape.buffer("bn.num_batches_tracked", [1], DType::I32, 0.0).unwrap();
    let [var, tracked] = tape.buffers().try_into().unwrap();
    let mut engine = GpuEngine::new(device.clone());
    engine.initialise(&tape, 1).unwrap();
    let values = Value::Real(vec![1.0, 2.0, 3.0, 4.0, f32::MAX]);
    engine.set_buffer("bn.running_var", values).unwrap();
    engine.set_buffer("bn.num_batches_tracked", Value::Int(vec![70_000])).unwrap();
    weights::save(&path, &tape, &mut engine).unwrap();

    let mut host = CpuEngine::new();
    host.initialise(&tape, 2).unwrap();
    weights::load(&path, &tape, &mut host).unwrap();
    assert_eq!(host.buffer(tape.tensor(tracked)).unwrap(), Value::Int(vec![70_000]));
    assert_eq!(host.buffer(tape.tensor(var)).unwrap().real()[..4], [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(host.buffer(tape.tensor(var)).unwrap().real()[4], f32::MAX);
    assert_eq!(host.parameter("conv.weight").unwrap(), engine.parameter("conv.weight").unwrap());

    host.set_buffer("bn.num_batches_tracked", Value::Int(vec![-3])).unwrap();
    weights::save(&path, &tape, &mut host).unwrap();
    weights::load(&path, &tape, &mut engine).unwrap();
    assert_eq!(engine.buffer(tape.tensor(tracked)).unwrap(), Value::Int(vec![-3]));
}

/// Trains up to `epochs` of five steps, from the files `from` if there are any, and writes the files `to`.
fn train(engine: &mut Box<dyn Engine>, epochs: usize, from: Option<&Path>, to: &Path) -> Vec<f32> {
    let model = LeNet5::new(10);
    let mut images = ResidentSource::new("train", synthetic::digits(1, 100));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 20));
    let biases = ParamGroup::new(|name| name.ends_with("bias")).lr_factor(2.0);
    let sgd = Sgd::new(0.05).momentum(0.9).dampening(0.1).weight_decay(5e-4).group(biases).clip_grad_norm(2.0);
    let options = TrainOptions::default().epochs(epochs).batch_size(20).seed(1);
    let mut trainer =
        Trainer::new(model, sgd, std::mem::replace(engine, CpuEngine::new().into()), options, &images).unwrap();
    let tape = trainer.tape().clone();
    if let Some(from) = from {
        weights::load(&from.join("model.safetensors"), &tape, trainer.engine()).unwrap();
        trainer.load_optimizer(&from.join("optimizer.safetensors")).unwrap();
    }
    let history = trainer.fit(&mut images, &mut test).unwrap();
    weights::save(&to.join("model.safetensors"), &tape, trainer.engine()).unwrap();
    trainer.save_optimizer(&to.join("optimizer.safetensors")).unwrap();
    *engine = trainer.into_engine();
    history.losses
}

fn engines(device: &Device) -> [Box<dyn Engine>; 2] {
    [Box::new(GpuEngine::new(device.clone())), Box::new(CpuEngine::new())]
}

#[test]
fn a_run_goes_on_from_its_files_to_the_bit_and_on_another_engine_closely() {
    let Some(device) = device() else { return };
    let (half, rest) = (Scratch::new("half"), Scratch::new("rest"));
    let [gpu, cpu] = engines(device).map(|mut engine| {
        let whole = train(&mut engine, 2, None, &rest);
        let model = |folder: &Path| {
            ["model.safetensors", "optimizer.safetensors"].map(|file| {
                let bytes = std::fs::read(folder.join(file)).unwrap();
                let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
                let mut tensors: Vec<(String, Vec<u8>)> =
                    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
                tensors.sort();
                tensors
            })
        };
        let expected = model(&rest);
        let first = train(&mut engine, 1, None, &half);
        let second = train(&mut engine, 2, Some(&half), &rest);
        assert_eq!((first.len(), second.len()), (5, 5));
        assert_eq!([first, second].concat(), whole, "{}", engine.name());
        assert!(model(&rest) == expected, "{}: parameters and momentum at the end", engine.name());
        (engine, whole)
    });
    // The files of `half` are now those of the reference executor; the device goes on from them.
    let (mut engine, _) = gpu;
    let second = train(&mut engine, 2, Some(&half), &rest);
    for (a, b) in second.iter().zip(&cpu.1[5..]) {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{a} on the device, {b} by the executor");
    }
}

#[test]
fn momentum_of_nothing_is_an_error() {
    let Some(device) = device() else { return };
    let mut engine = GpuEngine::new(device.clone());
    assert!(
        engine
            .optimizer_buffer("fc.bias", "momentum_buffer")
            .unwrap_err()
            .to_string()
            .contains("call initialise first")
    );
    let mut tape = Tape::new(Purpose::Train);
    tape.parameter("fc.bias", [3], Layout::RowMajor, Init::Normal(1.0)).unwrap();
    engine.initialise(&tape, 1).unwrap();
    assert!(engine.optimizer_buffer("other", "momentum_buffer").unwrap_err().to_string().contains("\"other\""));
    // Nothing updates it, so that it has no momentum buffer.
    assert!(engine.set_optimizer_buffer("fc.bias", "momentum_buffer", &[0.0; 3]).is_err());
}
