//! Runs a ResNet or VGG with torchvision's layout on images. Prints the classes with the largest logits, and writes all
//! logits to a file. Weights are read from a safetensors file under torchvision's names, or drawn at random; `--save`
//! writes them.
//!
//! Without arguments it runs a ResNet-18 with random weights on random noise. Expect five classes with meaningless
//! logits after a second or two. With files (`scripts/pth_to_safetensors.py` converts torchvision's to safetensors):
//!
//!     cargo run --release --example logits
//!     cargo run --release --example logits -- --model vgg16 --weights vgg16.safetensors --input images.safetensors --output logits.safetensors
//!
//! `scripts/check_torchvision.py` compares the results with torchvision's, in both directions.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tilegrad::files::write_whole;
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::nn::Module;
use tilegrad::nn::models::{ResNet, Vgg};
use tilegrad::rng::Init;
use tilegrad::train::weights;
use tilegrad::{Error, Result};

/// Says what a ResNet or VGG in torchvision's form, with running statistics and without dropout, makes of images.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// resnet18, 34, 50 or 101; vgg11, 13, 16 or 19, each VGG also with batch norm as vgg16_bn.
    #[arg(long, value_name = "NAME", default_value = "resnet18")]
    model: String,

    /// How many classes there are.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    classes: usize,

    /// The state_dict to take, as safetensors: exactly the model's names, as with strict=True; without it weights are drawn.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Writes the state_dict as safetensors.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// A safetensors file with the images as "input", [N, 3, H, W] of F32; without it one image of noise is drawn.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Writes "logits", [N, classes], as safetensors.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Times every dispatch and prints where the time goes, by kernel and by layer; FILE gets a trace (JSON) for
    /// chrome://tracing or https://ui.perfetto.dev.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Of drawn weights and noise.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,tilegrad=warn,wgpu_hal=off"))
        .init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\n       --help explains every option");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let model = model(&arguments.model, arguments.classes)?;
    let (shape, images) = match &arguments.input {
        Some(path) => read_images(path)?,
        None => ([1, 3, 224, 224], Init::Normal(1.0).values(arguments.seed, "input", 3 * 224 * 224)),
    };
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32(shape))?;
    let logits = model.forward(&mut tape, input)?;
    tape.keep(logits);

    let mut engine = support::engine(&arguments.device)?;
    println!("device   {}", engine.name());
    engine.initialise(&tape, arguments.seed)?;
    if let Some(path) = &arguments.weights {
        weights::load(path, &tape, &mut *engine)?;
    }
    if let Some(path) = &arguments.save {
        weights::save(path, &tape, &mut *engine)?;
        println!("written  {}", path.display());
    }
    let program = engine.compile(tape)?;
    engine.write(program, "input", (&images).into())?;
    engine.run(program, &[Stage::Forward])?;
    let values = engine.read(program, logits)?;
    for (image, logits) in values.chunks(arguments.classes).enumerate() {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let largest: Vec<String> = order.iter().take(5).map(|&class| format!("{class} ({})", logits[class])).collect();
        println!("image {image}  classes {}", largest.join(", "));
    }
    if let Some(path) = &arguments.output {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![shape[0], arguments.classes], &bytes);
        let content = view.and_then(|view| safetensors::serialize([("logits", view)], None::<HashMap<_, _>>));
        write_whole(path, &content.map_err(|error| Error::data(path, format!("cannot be written: {error}")))?)?;
        println!("written  {}", path.display());
    }
    if let Some(file) = &arguments.profile {
        support::check_profile(file)?;
        support::write_profile(engine.profile(program, 5)?, file)?;
    }
    Ok(())
}

fn model(name: &str, classes: usize) -> Result<Box<dyn Module>> {
    if classes == 0 {
        return Err(Error::config("classes", "must be at least 1, it is 0"));
    }
    let plain = name.strip_suffix("_bn");
    let vgg = |vgg: Vgg| -> Result<Box<dyn Module>> { Ok(Box::new(vgg.batch_norm(plain.is_some()))) };
    match plain.unwrap_or(name) {
        "vgg11" => vgg(Vgg::vgg11(classes)),
        "vgg13" => vgg(Vgg::vgg13(classes)),
        "vgg16" => vgg(Vgg::vgg16(classes)),
        "vgg19" => vgg(Vgg::vgg19(classes)),
        "resnet18" if plain.is_none() => Ok(Box::new(ResNet::resnet18(classes))),
        "resnet34" if plain.is_none() => Ok(Box::new(ResNet::resnet34(classes))),
        "resnet50" if plain.is_none() => Ok(Box::new(ResNet::resnet50(classes))),
        "resnet101" if plain.is_none() => Ok(Box::new(ResNet::resnet101(classes))),
        _ => Err(Error::config("model", format!("is \"{name}\", which is none of those that --help names"))),
    }
}

/// Reads the images of a file, and their shape.
fn read_images(path: &Path) -> Result<([usize; 4], Vec<f32>)> {
    let content = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let bad = |error| Error::data(path, format!("cannot be read: {error}"));
    let file = SafeTensors::deserialize(&content).map_err(bad)?;
    let input = file.tensor("input").map_err(bad)?;
    let (&[n, 3, h, w], Dtype::F32) = (input.shape(), input.dtype()) else {
        let found = format!("\"input\" is {:?} of {:?}, expected [N, 3, H, W] of F32", input.shape(), input.dtype());
        return Err(Error::data(path, found));
    };
    let word = |bytes: &[u8]| bytes.try_into().map(f32::from_le_bytes).unwrap_or_default();
    Ok(([n, 3, h, w], input.data().chunks_exact(4).map(word).collect()))
}
