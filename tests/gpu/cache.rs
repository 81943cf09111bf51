//! What is kept from run to run: it may be missing, damaged, or impossible to write, and everything works as before.

use std::path::{Path, PathBuf};

use tilegrad::gpu::{Device, DeviceOptions, SessionOptions};
use tilegrad::graph::{Spec, Tape};
use tilegrad::ops::Choices;

use crate::check::{device, session};

/// A folder of this test's own that is not there yet.
fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tilegrad-cache-{}-{name}", std::process::id()))
}

/// Opens a device that keeps its files in `folder`, makes a pipeline and runs it.
fn opened(folder: &Path) {
    let options = DeviceOptions { cache_dir: Some(folder.to_path_buf()), ..DeviceOptions::default() };
    let device = Device::new(options).unwrap();
    let mut tape = Tape::new(false);
    let input = tape.input("input", Spec::f32([2, 3])).unwrap();
    let output = tape.relu("relu", input).unwrap();
    tape.keep(output);
    let mut session = session(&device, tape, &Choices::default(), SessionOptions::default()).unwrap();
    session.write_f32("input", &[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0]).unwrap();
    session.step().unwrap();
    assert_eq!(session.read_f32(output).unwrap(), [0.0, 2.0, 0.0, 4.0, 0.0, 6.0]);
    assert_eq!(device.counters().pipelines, 1);
    device.check().unwrap();
    assert_eq!(device.cache_dir(), Some(folder).filter(|folder| !folder.as_os_str().is_empty()));
}

/// The files in `folder`, with their content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn a_file_of_pipelines_is_used_if_it_is_whole_and_replaced_if_not() {
    let Some(device) = device() else { return };
    let folder = folder("whole");
    opened(&folder);
    let first = files(&folder);
    let [(path, content)] = first.as_slice() else {
        assert!(first.is_empty() && !device.name().contains("Vulkan"), "{first:?}");
        return;
    };
    // Opened once more: with the file, and nothing to add to it.
    opened(&folder);
    assert_eq!(files(&folder), first);
    let mut flipped = content.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (what, damaged) in [
        ("cut", content[..content.len() / 2].to_vec()),
        ("changed", flipped),
        ("of another program", b"WGPUPLCH or what you will".to_vec()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(path, damaged).unwrap();
        opened(&folder);
        let [(_, after)] = files(&folder).try_into().unwrap_or_else(|files| panic!("{what}: {files:?}"));
        assert_eq!(after.len(), content.len(), "{what}: written again");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_and_no_folder_are_no_errors() {
    if device().is_none() {
        return;
    }
    let file = folder("file");
    std::fs::write(&file, "no folder").unwrap();
    opened(&file);
    opened(&file.join("below"));
    assert_eq!(std::fs::read(&file).unwrap(), b"no folder");
    std::fs::remove_file(&file).unwrap();
    opened(Path::new(""));
}
