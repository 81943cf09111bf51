//! Files that claim more than they hold or expand to more than they are: refused before memory is taken.
//!
//! `tests/fuzz` counts the memory; these are its cases with a reason.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tilegrad::data::{FolderOptions, cifar, idx, open};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::models::{NamedModel, Networks};
use tilegrad::nn::{Flatten, Linear, Module, Sequential};
use tilegrad::train::{CpuEngine, Engine, ModelCard, Predictor, weights};
use zip::write::SimpleFileOptions;

use crate::common::scratch::Scratch;

const MIB: usize = 1 << 20;

fn idx_file(magic: u32, extents: &[u32], body: usize) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    extents.iter().for_each(|extent| bytes.extend(extent.to_be_bytes()));
    bytes.extend((0..body).map(|i| (i % 2) as u8));
    bytes
}

fn gzip(head: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(head).unwrap();
    let block = vec![0; MIB];
    (0..zeros.div_ceil(MIB)).for_each(|_| encoder.write_all(&block).unwrap());
    encoder.finish().unwrap()
}

/// The error of a set whose training images are in this file.
fn idx_fault(images: &[u8]) -> String {
    let scratch = Scratch::new("hostile-idx");
    scratch.write("train-images-idx3-ubyte.gz", images);
    scratch.write("train-labels-idx1-ubyte", idx_file(0x801, &[4], 4));
    scratch.write("t10k-images-idx3-ubyte", idx_file(0x803, &[4, 2, 2], 16));
    scratch.write("t10k-labels-idx1-ubyte", idx_file(0x801, &[4], 4));
    idx::read(&scratch).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_compressed_file_is_read_up_to_a_limit() {
    // It claims little and expands to much, or claims as much as it expands to.
    for (extents, body) in [([4, 2, 2], 16), ([1 << 20, 28, 28], 0)] {
        let error = idx_fault(&gzip(&idx_file(0x803, &extents, body), 80 * MIB));
        assert!(error.contains("gzip data expand to more than 67108864 bytes"), "{error}");
    }
    // It claims much and holds little.
    let error = idx_fault(&gzip(&idx_file(0x803, &[u32::MAX, 4096, 4096], 16), 0));
    assert!(error.contains("truncated") && error.contains("holds 16 after the header"), "{error}");
    let error = idx_fault(&idx_file(0x803, &[u32::MAX, 4096, 4096], 16));
    assert!(error.contains("truncated") && error.contains("holds 16 after the header"), "{error}");
}

fn npy(shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn arrays_hold_what_they_claim_and_archives_expand_to_a_limit() {
    let scratch = Scratch::new("hostile-arrays");
    scratch.write("a/images.npy", [npy("(1000000, 1000, 1000)"), vec![0; 100]].concat());
    scratch.write("a/labels.npy", npy("(0,)"));
    let error = open(&scratch.join("a"), &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("images.npy") && error.contains("the file can't hold more than"), "{error}");

    // Each array is below the limit, both together are beyond it.
    let mut zip = zip::ZipWriter::new(fs::File::create(scratch.path("bomb.npz")).unwrap());
    for name in ["x_train.npy", "x_test.npy"] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy("(40, 1024, 1024)")).unwrap();
        (0..40).for_each(|_| zip.write_all(&vec![0; MIB]).unwrap());
    }
    zip.finish().unwrap();
    let error = open(&scratch.join("bomb.npz"), &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("array x_test") && error.contains("can't hold more than 25165824"), "{error}");
}

#[test]
fn a_line_of_a_table_has_an_end() {
    let scratch = Scratch::new("hostile-table");
    let table = scratch.write("t.csv", [b"image,label\n\"".to_vec(), vec![b'a'; 3 * MIB]].concat());
    let error = open(&table, &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("is there a quote that is not closed?"), "{error}");
}

#[test]
fn a_batch_of_cifar_has_its_length_before_it_is_read() {
    let scratch = Scratch::new("hostile-cifar");
    let file = fs::File::create(scratch.path("data_batch_1.bin")).unwrap();
    // A file with a hole, of which nothing is on the disk.
    for (length, expected) in [(3073 * 9_999, "cut at the end of a record"), (3073 << 24, "too long")] {
        file.set_len(length).unwrap();
        let error = cifar::read(&scratch).unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin") && error.contains(expected), "{error}");
    }
}

/// A file of weights of a small network that its card calls `model`.
fn weights_of(path: &Path, model: &[(&str, &str)]) {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("input", Spec::f32([1, 1, 28, 28])).unwrap();
    Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 2)).forward(&mut tape, x).unwrap();
    let mut engine = CpuEngine::new();
    engine.initialise(&tape, 1).unwrap();
    let fields = [
        ("model", "resnet18"),
        ("classes", "2"),
        ("width", "1"),
        ("small", "true"),
        ("shape", "3,32,32"),
        ("scale", "1,1,1,1"),
        ("shift", "0,0,0,0"),
        ("class_names", "[\"a\",\"b\"]"),
    ];
    let text = |(name, text): (&str, &str)| {
        let given = model.iter().find(|(field, _)| *field == name).map_or(text, |(_, text)| text);
        (format!("tilegrad.{name}"), given.to_string())
    };
    weights::save_with(path, &tape, &mut engine, &fields.map(text).into()).unwrap();
}

#[test]
fn a_card_is_held_against_its_weights_before_memory_is_taken() {
    let scratch = Scratch::new("hostile-card");
    let path = scratch.path("model.safetensors");
    let fault = |fields: &[(&str, &str)]| {
        weights_of(&path, fields);
        let card = ModelCard::read(&path)?;
        let model = card.build(&Networks::new())?;
        Predictor::load(&path, &card, &*model, &mut CpuEngine::new()).map(|_| ())
    };
    // The first would have 154 GB of weights in one layer.
    for (fields, expected) in [
        (&[("width", "65536")][..], "\"conv1.weight\" is missing"),
        (&[("width", "9223372036854775807")], "\"model.width\" is 9223372036854775807, it can be 1 to 65536"),
        (&[("shape", "3,4294967296,4294967296")], "\"image_size.height\" is 4294967296"),
        (&[("model", "lenet5"), ("shape", "1,28,9223372036854775807")], "\"image_size.width\" is 9223372036854775807"),
    ] {
        let error = fault(fields).unwrap_err().to_string();
        assert!(error.contains(expected), "{fields:?}: {error}");
    }
    let error = NamedModel::new("vgg11", usize::MAX).build().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("classes: must be 1 to 16777216"), "{error}");
    let error = NamedModel::new("vgg11", 2).width(usize::MAX).build().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("width: must be 1 to 65536"), "{error}");
    let mut tape = Tape::new(Purpose::Evaluate);
    let error = tape.input("input", Spec::f32([1, 1 << 40, 1 << 40])).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("more elements than memory can hold"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_never_waited_for() {
    let scratch = Scratch::new("hostile-fifo");
    for name in ["a/images.npy", "a.npz", "t.csv", "c/data_batch_1.bin", "w.safetensors"] {
        let status = std::process::Command::new("mkfifo").arg(scratch.path(name)).status().unwrap();
        assert!(status.success());
    }
    let options = FolderOptions::default();
    let faults = [
        open(&scratch.join("a"), &options).map(|_| ()),
        open(&scratch.join("a.npz"), &options).map(|_| ()),
        open(&scratch.join("t.csv"), &options).map(|_| ()),
        cifar::read(&scratch.join("c")).map(|_| ()),
        weights::shapes(&scratch.join("w.safetensors")).map(|_| ()),
        weights::shapes(Path::new("/dev/zero")).map(|_| ()),
    ];
    for fault in faults {
        let error = fault.unwrap_err().to_string();
        assert!(error.contains("is a FIFO, socket or device, not a file"), "{error}");
    }
}
