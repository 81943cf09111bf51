//! Files that cannot be written: an unwritable folder and a full disk leave what was there, and nothing half-written.

use std::fs;

use tilegrad::Error;
use tilegrad::data::{ImageSet, ResidentSource};
use tilegrad::files::write_whole;
use tilegrad::nn::{Linear, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::shape::ImageSize;
use tilegrad::train::weights;
use tilegrad::train::{CpuEngine, TrainOptions, Trainer};

use crate::scratch::{Scratch, SmallDisk, unwritable};

#[test]
fn an_unwritable_folder_is_named() {
    let scratch = Scratch::new("disk-unwritable");
    let path = unwritable(&scratch).join("model.safetensors");
    let error = write_whole(&path, b"content").unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    // A folder of that name is in the way.
    let taken = scratch.path("taken/x").parent().unwrap().to_path_buf();
    let error = write_whole(&taken, b"content").unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == taken), "{error}");
    assert_eq!(crate::scratch::names(&scratch), ["file", "taken"], "no temporary file stays");
}

/// Only a user other than root can be refused.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("disk-read-only");
    let path = scratch.path("out/model");
    let dir = path.parent().unwrap();
    let allow = |mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    let (probe, written) = (fs::write(dir.join("probe"), ""), write_whole(&path, b"content"));
    allow(0o755);
    if probe.is_ok() {
        eprintln!("SKIPPED: this user may write to every folder");
        return;
    }
    assert!(matches!(&written, Err(Error::Io { path: named, .. }) if *named == path), "{written:?}");
}

#[test]
fn a_full_disk_keeps_the_file_of_before() {
    let scratch = Scratch::new("disk-full");
    let Some(disk) = SmallDisk::new(&scratch, 64) else { return };
    let path = disk.0.join("model");
    write_whole(&path, &[1; 20_000]).unwrap();
    let error = write_whole(&path, &[2; 60_000]).unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    assert!(error.to_string().contains("space"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), [1; 20_000]);
    assert_eq!(disk.names(), ["model"], "no temporary file stays");
    write_whole(&path, &[3; 20_000]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [3; 20_000]);
}

#[test]
fn a_full_disk_keeps_the_model_of_before() {
    let scratch = Scratch::new("disk-model");
    let Some(disk) = SmallDisk::new(&scratch, 64) else { return };
    let path = disk.0.join("model.safetensors");
    let save = |features: usize| {
        let model = Sequential::new().with("flatten", tilegrad::nn::Flatten).with("fc", Linear::new(4, features));
        let set = ImageSet::new(vec![0; 8], vec![0, 1], ImageSize::new(2, 2, 1), 2).unwrap();
        let source = ResidentSource::new("set", set);
        let engine = CpuEngine::new();
        let options = TrainOptions::default();
        Trainer::new(model, Sgd::new(0.1), engine, options, &source).unwrap().save_model(&path)
    };
    save(100).unwrap();
    let error = save(10_000).unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    assert_eq!(weights::shapes(&path).unwrap()["fc.weight"], [100, 4]);
    assert_eq!(disk.names(), ["model.safetensors"]);
}

#[test]
fn a_full_disk_ends_a_download_with_what_has_come_kept() {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    let scratch = Scratch::new("disk-download");
    let Some(disk) = SmallDisk::new(&scratch, 64) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2000]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&[7; 200_000]);
        }
    });
    let file = tilegrad::data::download::Mirrored { name: "f".into(), sha256: "00".repeat(32), urls: vec![url; 2] };
    let error = tilegrad::data::download::fetch(&file, &disk.0, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == disk.0.join("f.part")), "{error}");
    assert!(error.to_string().contains("space"), "{error}");
    assert_eq!(disk.names(), ["f.part"]);
}
