//! The readers, each with its seeds, its limits, and what must be mended in a mutated file.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use tilegrad::data::{Dataset, FolderOptions, ImageOptions, Resize, cifar, folder, idx as idx_files, image_file, open};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::Choices;
use tilegrad::nn::models::Networks;
use tilegrad::nn::{BatchNorm2d, Conv2d, Flatten, Linear, Module, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::train::{
    Checkpoints, ClassWeights, CpuEngine, Engine, ModelCard, Predictor, Snapshot, TrainOptions, Trainer, weights,
};
use zip::CompressionMethod;

use crate::harness::{Input, Reader, put};
use crate::memory::Taken;
use crate::mutate::Random;
use crate::scratch::Scratch;
use crate::seeds;

const MIB: usize = 1 << 20;

fn seeds_of(kinds: impl IntoIterator<Item = (usize, Vec<u8>)>) -> Vec<Input> {
    kinds.into_iter().map(|(kind, bytes)| Input { kind, bytes }).collect()
}

/// The limit of readers of plain files: a file and little more.
fn plain(bytes: usize) -> Taken {
    Taken { largest: MIB + 64 * bytes, alive: 2 * MIB + 256 * bytes }
}

/// The limit of readers of compressed files, which are read up to 64 MiB and 128 times their length. A vector that grows
/// may be twice as large as its content, and images are held beside what they were made of.
fn compressed(bytes: usize) -> Taken {
    Taken { largest: 128 * MIB + 256 * bytes, alive: 256 * MIB + 512 * bytes }
}

/// Writes the file called `name` in a folder that is there, and returns its path.
fn written(folder: &Scratch, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    put(&path, bytes);
    path
}

fn text<T>(result: tilegrad::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Files of images (kinds 0 and 1) and of labels (2 and 3), plain and compressed after the mutation, compressed before it
/// (4), and images with channels (5).
pub fn idx() -> Reader {
    let (three, four) = (Scratch::new("fuzz-idx3"), Scratch::new("fuzz-idx4"));
    let (images, labels, colour) =
        (seeds::idx(0x803, &[6, 5, 4]), seeds::idx(0x801, &[6]), seeds::idx(0x804, &[6, 5, 4, 3]));
    for folder in [&three, &four] {
        written(folder, "t10k-labels-idx1-ubyte", &labels);
        written(folder, "train-labels-idx1-ubyte", &labels);
    }
    written(&three, "t10k-images-idx3-ubyte", &images);
    written(&four, "t10k-images-idx4-ubyte", &colour);
    let kinds = [
        (0, images.clone()),
        (1, images.clone()),
        (2, labels.clone()),
        (3, labels.clone()),
        (4, seeds::gzip(&images)),
        (5, colour),
    ];
    let read = move |input: &Input| {
        let bytes = match input.kind {
            1 | 3 => seeds::gzip(&input.bytes),
            _ => input.bytes.clone(),
        };
        let folder = match input.kind {
            2 | 3 => {
                written(&three, "train-images-idx3-ubyte", &images);
                written(&three, "train-labels-idx1-ubyte", bytes);
                &three
            }
            5 => {
                written(&four, "train-images-idx4-ubyte", bytes);
                &four
            }
            _ => {
                written(&three, "train-images-idx3-ubyte", bytes);
                written(&three, "train-labels-idx1-ubyte", &labels);
                &three
            }
        };
        text(idx_files::read(folder).map(|_| ()))
    };
    Reader { seeds: seeds_of(kinds), limit: compressed, read: Box::new(read), mend: None }
}

/// A batch of CIFAR-10 (kind 0), the beginning of one that has its full length (1), the names of CIFAR-100 (2) and its
/// images (3). Whole sets are too large to be tried often, so that none is read to its end.
pub fn cifar() -> Reader {
    let (ten, hundred) = (Scratch::new("fuzz-cifar10"), Scratch::new("fuzz-cifar100"));
    let names = (0..100).map(|i| format!("name {i}\n")).collect::<String>().into_bytes();
    let record: Vec<u8> = (0..3073_u32).map(|i| (i % 10) as u8).collect();
    let kinds = [(0, record.repeat(2)), (1, record.clone()), (2, names.clone()), (3, record.clone())];
    written(&hundred, "train.bin", &record);
    let read = move |input: &Input| {
        let result = match input.kind {
            0 | 1 => {
                let path = written(&ten, "data_batch_1.bin", &input.bytes);
                if input.kind == 1 {
                    fs::File::options().write(true).open(path).unwrap().set_len(10_000 * 3073).unwrap();
                }
                cifar::read(&ten)
            }
            2 => {
                written(&hundred, "fine_label_names.txt", &input.bytes);
                cifar::read_100(&hundred)
            }
            _ => {
                written(&hundred, "fine_label_names.txt", &names);
                written(&hundred, "train.bin", &input.bytes);
                cifar::read_100(&hundred)
            }
        };
        match result {
            Ok(_) => Ok(()),
            // This is as far as a seed comes.
            Err(error) if error.to_string().contains("holds 2 images, expected") => Ok(()),
            Err(error) if error.to_string().contains("holds 0 images, expected") => Ok(()),
            Err(error) if error.to_string().contains("holds 1 images, expected") => Ok(()),
            Err(error) if error.to_string().contains("truncated") => Ok(()),
            Err(error) if error.to_string().contains("data_batch_2.bin") => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    };
    // A batch of full length is held as it is and as images.
    let limit = |bytes: usize| Taken { largest: 32 * MIB + 64 * bytes, alive: 65 * MIB + 64 * bytes };
    Reader { seeds: seeds_of(kinds), limit, read: Box::new(read), mend: None }
}

/// Files of images (kind 0) and labels (1).
pub fn npy() -> Reader {
    let folder = Scratch::new("fuzz-npy");
    let [images, labels] = seeds::arrays();
    let floats: Vec<u8> = (0..72).flat_map(|i| (i as f32 / 72.0).to_le_bytes()).collect();
    let kinds = [
        (0, images.clone()),
        (0, seeds::npy("<f4", "(6, 4, 3)", &floats)),
        (0, seeds::npy("|u1", "(6, 3, 2, 2)", &(0..72).collect::<Vec<u8>>())),
        (1, labels.clone()),
        (1, seeds::npy("|u1", "(6, 1)", &[0, 1, 2, 0, 1, 2])),
    ];
    let read = move |input: &Input| {
        let [first, second] = if input.kind == 0 { [&input.bytes, &labels] } else { [&images, &input.bytes] };
        written(&folder, "images.npy", first);
        written(&folder, "labels.npy", second);
        text(open(&folder, &FolderOptions::default()).map(|_| ()))
    };
    Reader { seeds: seeds_of(kinds), limit: plain, read: Box::new(read), mend: None }
}

/// Archives (kind 0), and an array of images that is put into one (1).
pub fn npz() -> Reader {
    let folder = Scratch::new("fuzz-npz");
    let [images, labels] = seeds::arrays();
    let files: [(&str, &[u8]); 2] = [("x_train.npy", &images), ("y_train.npy", &labels)];
    let kinds = [
        (0, seeds::zip(&files, CompressionMethod::Stored)),
        (0, seeds::zip(&files, CompressionMethod::Deflated)),
        (1, images.clone()),
    ];
    let read = move |input: &Input| {
        let path = match input.kind {
            0 => written(&folder, "a.npz", &input.bytes),
            _ => {
                let files: [(&str, &[u8]); 2] = [("x_train.npy", &input.bytes), ("y_train.npy", &labels)];
                written(&folder, "a.npz", seeds::zip(&files, CompressionMethod::Deflated))
            }
        };
        text(open(&path, &FolderOptions::default()).map(|_| ()))
    };
    Reader { seeds: seeds_of(kinds), limit: compressed, read: Box::new(read), mend: None }
}

/// Tables, read strictly (kind 0) and with bad lines left out (1).
pub fn table() -> Reader {
    let folder = Scratch::new("fuzz-table");
    for i in 0..6 {
        folder.write(&format!("photos/{i}.png"), &seeds::images()[0]);
    }
    let header = "image,label,split\n0.png,cat,train\n1,dog,train\nphotos/2.png,cat,val\n\"3.png\",dog,test\n";
    let bare = "photos/0.png\t7\nphotos/1.png\t8\nphotos/2.png\t7\n";
    let mut kinds = Vec::new();
    for kind in 0..2 {
        kinds.extend([header, bare].map(|table| (kind, table.as_bytes().to_vec())));
    }
    let read = move |input: &Input| {
        let path = written(&folder, "table.csv", &input.bytes);
        text(open(&path, &FolderOptions::default().skip_bad(input.kind == 1)).map(|_| ()))
    };
    Reader { seeds: seeds_of(kinds), limit: plain, read: Box::new(read), mend: None }
}

/// Pixels that a header may claim.
const PIXELS: u64 = 1 << 18;

/// Images as they are (kind 0), cut to a size (1), stretched in gray (2).
pub fn image() -> Reader {
    let folder = Scratch::new("fuzz-image");
    let kinds = seeds::images().into_iter().enumerate().map(|(i, bytes)| (i % 3, bytes));
    let read = move |input: &Input| {
        let path = written(&folder, "image", &input.bytes);
        let options = ImageOptions::default().max_pixels(PIXELS);
        let options = match input.kind {
            0 => options,
            1 => options.resize(Resize::crop(16)),
            _ => options.resize(Resize::stretch(7, 9)).channels(1),
        };
        text(image_file(&path, &options).map(|_| ()))
    };
    // Sixteen bytes a pixel may be decoded, with 64 MiB for the decoder, and made to eight bits.
    let limit = |bytes: usize| Taken {
        largest: 64 * MIB + 16 * PIXELS as usize + 16 * bytes,
        alive: 96 * MIB + 48 * PIXELS as usize + 64 * bytes,
    };
    Reader { seeds: seeds_of(kinds), limit, read: Box::new(read), mend: Some(png_checksums) }
}

/// Restores the checksums of a PNG's chunks.
fn png_checksums(input: &mut Input, _: &mut Random) {
    let bytes = &mut input.bytes;
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return;
    }
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = at + 8 + length;
        if bytes.len() < end + 4 {
            break;
        }
        let mut checksum = flate2::Crc::new();
        checksum.update(&bytes[at + 4..end]);
        let sum = checksum.sum().to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
}

/// A small network with parameters, running means and a counter.
fn network() -> Sequential {
    Sequential::new()
        .with("conv", Conv2d::new(1, 2, 3).padding(1))
        .with("bn", BatchNorm2d::new(2))
        .with("flatten", Flatten)
        .with("fc", Linear::new(2 * 4 * 4, 3))
}

fn tape() -> Tape {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([1, 1, 4, 4])).unwrap();
    network().forward(&mut tape, x).unwrap();
    tape
}

/// Files of weights: as they are named, described, and loaded.
pub fn safetensors() -> Reader {
    let folder = Scratch::new("fuzz-safetensors");
    let mut engine = CpuEngine::new();
    engine.initialise(&tape(), 1).unwrap();
    let path = folder.join("weights.safetensors");
    weights::save(&path, &tape(), &mut engine).unwrap();
    let kinds = [(0, fs::read(&path).unwrap())];
    let read = move |input: &Input| {
        let path = written(&folder, "weights.safetensors", &input.bytes);
        let parts = [weights::shapes(&path).map(|_| ()), weights::metadata(&path).map(|_| ())];
        parts.into_iter().try_for_each(text)?;
        text(weights::load(&path, &tape(), &mut engine))
    };
    Reader { seeds: seeds_of(kinds), limit: plain, read: Box::new(read), mend: Some(header_length) }
}

/// Bytes of a safetensors header, found by its last brace.
fn header_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).rposition(|pair| pair == b"}}")?;
    Some(end + 2)
}

/// Restores the length of a safetensors header.
fn header_length(input: &mut Input, _: &mut Random) {
    let Some(end) = header_end(&input.bytes).filter(|&end| end >= 8) else { return };
    // Blanks may follow the last brace.
    let blanks = input.bytes[end..].iter().take_while(|&&byte| byte == b' ').count();
    let length = ((end + blanks - 8) as u64).to_le_bytes();
    input.bytes[..8].copy_from_slice(&length);
}

/// Files of weights with the description of their network (version 1): read, built, and made ready to predict.
pub fn card() -> Reader {
    let folder = Scratch::new("fuzz-card");
    let path = folder.join("model.safetensors");
    let fields = [
        ("model", "lenet5"),
        ("classes", "3"),
        ("width", "64"),
        ("small", "false"),
        ("shape", "1,28,28"),
        ("scale", "0.01,0.01,0.01,0.01"),
        ("shift", "0,0,0,0"),
        ("class_names", "[\"a\",\"b\",\"c\"]"),
        ("settings", "{}"),
    ];
    let networks = Networks::new();
    let mut kinds = Vec::new();
    for (name, shape) in [("lenet5", "1,28,28"), ("resnet18", "3,32,32")] {
        let fields = fields.map(|(field, text)| match field {
            "model" => (field, name),
            "shape" => (field, shape),
            "width" => (field, "1"),
            _ => (field, text),
        });
        let metadata = fields.map(|(name, text)| (format!("tilegrad.{name}"), text.to_string())).into();
        weights::save_with(&path, &tape(), &mut initialised(&tape()), &metadata).unwrap();
        let card = ModelCard::read(&path).unwrap();
        let model = card.build(&networks).unwrap();
        let mut tape = Tape::new(Purpose::Evaluate);
        let x = tape.input("input", Spec::f32(card.image_size.nchw(1))).unwrap();
        model.forward(&mut tape, x).unwrap();
        weights::save_with(&path, &tape, &mut initialised(&tape), &metadata).unwrap();
        kinds.push((0, fs::read(&path).unwrap()));
    }
    let read = move |input: &Input| {
        let path = written(&folder, "model.safetensors", &input.bytes);
        let card = text(ModelCard::read(&path))?;
        let model = text(card.build(&networks))?;
        text(Predictor::load(&path, &card, &*model, &mut CpuEngine::new()).map(|_| ()))
    };
    Reader { seeds: seeds_of(kinds), limit: plain, read: Box::new(read), mend: Some(metadata) }
}

fn initialised(tape: &Tape) -> CpuEngine {
    let mut engine = CpuEngine::new();
    engine.initialise(tape, 1).unwrap();
    engine
}

/// Gives a text of the metadata another number, mostly a large one, and restores the header's length.
fn metadata(input: &mut Input, random: &mut Random) {
    header_length(input, random);
    let Some((mut header, data)) = header(&input.bytes) else { return };
    let numbers = ["0", "1", "2", "64", "65536", "4294967296", "9223372036854775807", "18446744073709551615", "-1"];
    if let Some(texts) = header.get_mut("__metadata__").and_then(serde_json::Value::as_object_mut) {
        let names: Vec<String> = texts.keys().cloned().collect();
        if !names.is_empty() && random.below(2) == 0 {
            let name = random.of(&names);
            let number = random.of(&numbers);
            let text = match name.as_str() {
                "tilegrad.shape" => format!("{},{number},{}", random.of(&numbers), random.of(&numbers)),
                "tilegrad.scale" | "tilegrad.shift" => format!("1,2,{number},NaN"),
                "tilegrad.small" => "true".into(),
                _ => number.to_string(),
            };
            texts.insert(name.clone(), text.into());
        }
    }
    input.bytes = joined(&header, data);
}

/// The header of a safetensors file, and the bytes after it.
fn header(bytes: &[u8]) -> Option<(serde_json::Value, &[u8])> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let (header, data) = bytes[8..].split_at_checked(usize::try_from(length).ok()?)?;
    Some((serde_json::from_slice(header).ok()?, data))
}

fn joined(header: &serde_json::Value, data: &[u8]) -> Vec<u8> {
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
}

/// Files of choices.
pub fn choices() -> Reader {
    let folder = Scratch::new("fuzz-choices");
    let file = "{\"format\": \"tilegrad choices 2\", \"everywhere\": \"direct\", \"by_operation\": {\"conv2d\": \"tiled:a\"}, \
                \"by_shape\": {\"matmul | [4,8] [8,6]\": \"direct\"}, \"without_rules\": [\"a\"]}";
    let read = move |input: &Input| {
        let path = written(&folder, "choices.json", &input.bytes);
        text(Choices::read(&path).map(|_| ()))
    };
    let seeds = seeds_of([(0, file.as_bytes().to_vec())]);
    Reader { seeds, limit: plain, read: Box::new(read), mend: None }
}

/// Files of a weight for each class.
pub fn class_weights() -> Reader {
    let folder = Scratch::new("fuzz-class-weights");
    let names = ["cat", "dog", "a, b"].map(String::from);
    let read = move |input: &Input| {
        let path = written(&folder, "weights.csv", &input.bytes);
        text(ClassWeights::read(&path, &names).map(|_| ()))
    };
    let files = ["class,weight\ncat,1\ndog,0.5\n\"a, b\",2e1\n", "# a comment\n1\n2\n3\n"];
    let seeds = seeds_of(files.map(|file| (0, file.as_bytes().to_vec())));
    Reader { seeds, limit: plain, read: Box::new(read), mend: None }
}

/// Checkpoints: the last of a folder, and a run that goes on from it.
pub fn checkpoint() -> Reader {
    let folder = Scratch::new("fuzz-checkpoint");
    let path = folder.join("checkpoint-0000000003.safetensors");
    let images = tilegrad::data::synthetic::digits(1, 24);
    let trainer = || {
        let source = tilegrad::data::ResidentSource::new("train", images.clone());
        let model = Sequential::new()
            .with("conv", Conv2d::new(1, 1, 5).stride(8))
            .with("bn", BatchNorm2d::new(1))
            .with("flatten", Flatten)
            .with("fc", Linear::new(9, 10));
        let sgd = Sgd::new(0.1).momentum(0.9);
        (Trainer::new(model, sgd, CpuEngine::new(), TrainOptions::default().batch_size(8), &source).unwrap(), source)
    };
    let (mut trained, mut source) = trainer();
    let mut validation = tilegrad::data::ResidentSource::new("validation", images.clone());
    trained.fit(&mut source, &mut validation).unwrap();
    trained.snapshot().unwrap().write(&path).unwrap();
    let kinds = [(0, fs::read(&path).unwrap())];
    let (mut resumed, _) = trainer();
    let read = move |input: &Input| {
        let path = written(&folder, "checkpoint-0000000003.safetensors", &input.bytes);
        text(Snapshot::read(&path).map(|_| ()))?;
        let found = text(Checkpoints::latest(&folder))?.ok_or("no checkpoint")?;
        text(resumed.restore(&found.snapshot, &found.path))
    };
    Reader { seeds: seeds_of(kinds), limit: plain, read: Box::new(read), mend: Some(snapshot_checksum) }
}

/// Restores length and checksum of a checkpoint, now and then with another number in its metadata.
fn snapshot_checksum(input: &mut Input, random: &mut Random) {
    metadata(input, random);
    let Some((mut header, data)) = header(&input.bytes) else { return };
    let Ok(file) = SafeTensors::deserialize(&input.bytes) else { return };
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut text = String::new();
    for (name, view) in tensors {
        let hash = seeds::fnv1a(view.data());
        text += &format!("{name} {:?} {:?} {hash:x}\n", view.dtype(), view.shape());
    }
    let Some(texts) = header.get_mut("__metadata__").and_then(serde_json::Value::as_object_mut) else { return };
    let mut names: Vec<&String> = texts.keys().filter(|name| *name != "checksum").collect();
    names.sort();
    for name in names {
        text += &format!("{name} {}\n", texts[name].as_str().unwrap_or_default());
    }
    texts.insert("checksum".into(), format!("{:016x}", seeds::fnv1a(text.as_bytes())).into());
    input.bytes = joined(&header, data);
}

/// Caches of decoded images.
pub fn cache() -> Reader {
    let scratch = Scratch::new("fuzz-cache");
    for (i, class) in ["a", "a", "b", "b"].into_iter().enumerate() {
        scratch.write(&format!("images/{class}/{i}.png"), &seeds::images()[0]);
    }
    scratch.write("images/b/broken.png", b"none");
    let (images, path) = (scratch.join("images"), scratch.join("cache"));
    let open = move |images: &Path, path: PathBuf| {
        let opened = text(folder::open(images, &FolderOptions::default().skip_bad(true).cache(path)))?;
        for part in [&opened.train, &opened.validation, &opened.test] {
            for i in 0..part.len() {
                text(part.get(i).map(|_| ()))?;
            }
        }
        Ok(())
    };
    open(&images, path.clone()).unwrap();
    let kinds = [(0, fs::read(&path).unwrap())];
    let read = move |input: &Input| {
        let path = written(&scratch, "cache", &input.bytes);
        open(&images, path)
    };
    // The images of the folder are decoded anew where a cache is refused.
    let limit = |bytes: usize| Taken { largest: 65 * MIB + 64 * bytes, alive: 70 * MIB + 256 * bytes };
    Reader { seeds: seeds_of(kinds), limit, read: Box::new(read), mend: Some(cache_checksum) }
}

/// Restores the checksum of a cache's lists and the mark at its end.
fn cache_checksum(input: &mut Input, _: &mut Random) {
    const TRAILER: usize = 72;
    let bytes = &mut input.bytes;
    let Some(trailer) = bytes.len().checked_sub(TRAILER) else { return };
    let lists = u64::from_le_bytes(bytes[trailer + 48..trailer + 56].try_into().unwrap()) as usize;
    let Some(start) = trailer.checked_sub(lists) else { return };
    let sum = seeds::fnv1a(&bytes[start..trailer + TRAILER - 16]).to_le_bytes();
    bytes[trailer + TRAILER - 16..trailer + TRAILER - 8].copy_from_slice(&sum);
    bytes[trailer + TRAILER - 8..].copy_from_slice(b"tgimage2");
}
