//! What a folder holds, told by its files, and what is said of folders that hold nothing or the wrong thing.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use tilegrad::Error;
use tilegrad::data::{
    Dataset, FolderOptions, Format, ImageSet, Normalisation, Resize, cifar, detect, idx, open, open_lazily,
};

use crate::scratch::{Scratch, colour, gray};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn write_idx(scratch: &Scratch, first: [u8; 10]) {
    for half in ["train", "t10k"] {
        scratch.write(&format!("{half}-images-idx3-ubyte"), [words(&[0x803, 10, 2, 2]), vec![5; 40]].concat());
        scratch.write(&format!("{half}-labels-idx1-ubyte"), [words(&[0x801, 10]), first.to_vec()].concat());
    }
}

/// A file of `count` records of zeros, the first of which has this label as the last of its label bytes.
fn records(scratch: &Scratch, name: &str, count: u64, labels: u64, first: u8) {
    let file = fs::File::create(scratch.path(name)).unwrap();
    file.set_len(count * (labels + 3072)).unwrap();
    (&file).seek(SeekFrom::Start(labels - 1)).unwrap();
    (&file).write_all(&[first]).unwrap();
}

fn description(scratch: &Scratch, what: &str) -> String {
    format!("{what} of {}", scratch.display())
}

#[test]
fn idx_files_are_mnist_or_fashion_mnist_by_their_labels() {
    let scratch = Scratch::new("formats-idx");
    let options = FolderOptions::default();
    let opened = |first| {
        write_idx(&scratch, first);
        open(&scratch, &options.clone().validation(0.0)).unwrap()
    };
    let mnist = opened([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    assert_eq!((mnist.format, mnist.normalisation), (Format::Idx, Some(Normalisation::MNIST)));
    assert_eq!(mnist.description, description(&scratch, "MNIST"));
    assert_eq!(mnist.train.class_names, idx::MNIST_CLASS_NAMES);
    let fashion = opened([9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    assert_eq!(fashion.normalisation, Some(Normalisation::FASHION_MNIST));
    assert_eq!((fashion.test.class_names[9].as_str(), fashion.test.len()), ("Ankle boot", 10));
    let other = opened([1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!((other.description, other.normalisation), (description(&scratch, "IDX images"), None));
    let resize = options.resize(Resize::stretch(8, 8));
    let error = open(&scratch, &resize).unwrap_err().to_string();
    assert_eq!(error, format!("resize: is for image files, {} is IDX images", scratch.display()));
    // One file is enough to say what the others should be.
    fs::remove_file(scratch.join("train-images-idx3-ubyte")).unwrap();
    let error = open(&scratch, &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("has no file with train-images"), "{error}");
}

#[test]
fn both_cifars_are_found_with_or_without_the_archives_folder() {
    for inner in ["", "cifar-10-batches-bin/"] {
        let scratch = Scratch::new("formats-cifar10");
        for i in 1..=5 {
            records(&scratch, &format!("{inner}data_batch_{i}.bin"), 10_000, 1, i);
        }
        records(&scratch, &format!("{inner}test_batch.bin"), 10_000, 1, 8);
        let lazy = open_lazily(&scratch, &FolderOptions::default()).unwrap();
        assert_eq!((lazy.format, lazy.description), (Format::Cifar10, description(&scratch, "CIFAR-10")));
        assert_eq!((lazy.train.len() + lazy.validation.len(), lazy.test.len()), (50_000, 10_000));
        assert_eq!((lazy.test.label(0).unwrap(), lazy.test.class_names()[8].as_str()), (8, "ship"));
        assert_eq!(lazy.normalisation, Some(Normalisation::CIFAR10));
        // Cut at the end of a record.
        records(&scratch, &format!("{inner}data_batch_2.bin"), 9_999, 1, 1);
        let error = open(&scratch, &FolderOptions::default()).unwrap_err().to_string();
        assert!(error.contains("data_batch_2.bin: cut at the end of a record: holds 9999 images"), "{error}");
    }
    for inner in ["", "cifar-100-binary/"] {
        let scratch = Scratch::new("formats-cifar100");
        records(&scratch, &format!("{inner}train.bin"), 50_000, 2, 99);
        records(&scratch, &format!("{inner}test.bin"), 10_000, 2, 7);
        let opened = open(&scratch, &FolderOptions::default()).unwrap();
        assert_eq!((opened.format, opened.test.labels[0]), (Format::Cifar100, 7));
        assert_eq!(opened.train.class_names, cifar::CIFAR100_CLASS_NAMES);
        assert_eq!(opened.normalisation, Some(Normalisation::CIFAR100));
        assert_eq!(opened.description, description(&scratch, "CIFAR-100"));
    }
}

#[test]
fn a_folder_of_images_is_opened_in_memory_or_lazily_alike() {
    let scratch = Scratch::new("formats-folder");
    for i in 0..10 {
        colour(&scratch, &format!("{}/{i}.png", ["ant", "bee"][i % 2]), 20 * i as u8);
    }
    gray(&scratch, "ant/gray.png", 50);
    scratch.write("bee/bad.jpg", "no image");
    let options = FolderOptions::default().skip_bad(true);
    let eager = open(&scratch, &options).unwrap();
    assert_eq!((eager.format, eager.train.channels, eager.normalisation), (Format::Folder, 3, None));
    assert_eq!(eager.description, description(&scratch, "images by class"));
    let lazy = open_lazily(&scratch, &options).unwrap();
    assert_eq!((eager.skipped.len(), lazy.skipped.len()), (1, 1));
    assert_eq!(ImageSet::collect(&lazy.train).unwrap(), eager.train);
    assert_eq!(ImageSet::collect(&lazy.validation).unwrap(), eager.validation);
    assert_eq!(ImageSet::collect(&lazy.test).unwrap(), eager.test);
    assert_eq!(eager.overview, lazy.overview);
}

#[test]
fn a_folder_of_nothing_known_lists_what_was_looked_for() {
    let scratch = Scratch::new("formats-nothing");
    scratch.write("readme.txt", "nothing");
    let error = detect(&scratch).unwrap_err();
    assert!(matches!(&error, Error::Data { path, .. } if **path == *scratch), "{error}");
    let error = error.to_string();
    for part in
        ["train-images-idx3-ubyte", "data_batch_1.bin", "train.bin", "a folder for each class", ".jpg", ".npz", ".csv"]
    {
        assert!(error.contains(part), "{error} without {part}");
    }
    assert!(!error.contains("Python"), "{error}");
    fs::create_dir(scratch.join("cifar-10-batches-py")).unwrap();
    let error = open(&scratch, &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("CIFAR's version for Python is not read, take the binary one"), "{error}");
    let file = scratch.join("readme.txt");
    assert!(detect(&file).unwrap_err().to_string().contains("is not a folder"));
    let missing = detect(&scratch.join("missing"));
    assert!(matches!(&missing, Err(Error::Io { path, .. }) if path.ends_with("missing")), "{missing:?}");
}

/// Each of these ends in an error that names the folder.
#[test]
fn folders_that_cannot_be_trained_on_say_why() {
    let scratch = Scratch::new("formats-refused");
    let refused = || match open(&scratch, &FolderOptions::default()) {
        Err(Error::Data { path, message, .. }) => (path, message),
        other => panic!("{other:?}"),
    };
    colour(&scratch, "cats/1.png", 5);
    colour(&scratch, "cats/2.png", 6);
    let (path, message) = refused();
    assert_eq!((path, message.contains("at least two are needed")), (scratch.to_path_buf(), true), "{message}");
    fs::create_dir(scratch.join("dogs")).unwrap();
    let (path, message) = refused();
    assert_eq!((path, message.contains("add some or remove the folder")), (scratch.join("dogs"), true), "{message}");
    scratch.write("dogs/notes.txt", "still no image");
    assert_eq!(refused().0, scratch.join("dogs"));
    let bad = scratch.write("dogs/1.jpg", "no image");
    let (path, message) = refused();
    assert_eq!((path, message.contains("is no image that can be read")), (bad, true), "{message}");
}

/// Only a user other than root can be refused.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("formats-unreadable");
    colour(&scratch, "ant/1.png", 5);
    colour(&scratch, "bee/1.png", 6);
    let bee = scratch.join("bee");
    let allow = |mode| fs::set_permissions(&bee, fs::Permissions::from_mode(mode)).unwrap();
    allow(0);
    let refused = fs::read_dir(&bee).is_err();
    let opened = open(&scratch, &FolderOptions::default());
    allow(0o755);
    if !refused {
        eprintln!("SKIPPED: this user may read every folder");
        return;
    }
    assert!(matches!(&opened, Err(Error::Io { path, .. }) if *path == bee), "{opened:?}");
}
