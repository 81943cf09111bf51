//! What is kept from run to run: it may be missing, damaged, or impossible to write, and everything works as before.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tilegrad::gpu::{Device, DeviceOptions, SessionOptions};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::Choices;

use crate::check::{device, session};
use crate::common::scratch::Scratch;

/// Opens a device that keeps its files in `folder`, makes a pipeline and runs it.
fn opened(folder: &Path) {
    let options = DeviceOptions::default().cache_dir(folder);
    let device = Device::new(options).unwrap();
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([2, 3])).unwrap();
    let output = tape.relu("relu", input).unwrap();
    tape.keep(output);
    let mut session = session(&device, tape, &Choices::default(), SessionOptions::default()).unwrap();
    session.write("input", &[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0]).unwrap();
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

/// Whether it is a whole file of pipelines: the line that it begins with, and a checksum (FNV-1a) of all that follows.
fn is_whole(file: &[u8]) -> bool {
    let rest = file.strip_prefix(b"tilegrad pipelines 1\n").and_then(|rest| rest.split_first_chunk());
    rest.is_some_and(|(checksum, content)| {
        let of = content
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        u64::from_le_bytes(*checksum) == of
    })
}

#[test]
fn a_file_of_pipelines_is_used_if_it_is_whole_and_replaced_if_not() {
    let Some(device) = device() else { return };
    let scratch = Scratch::new("cache");
    // It is not there yet.
    let folder = scratch.join("folder");
    opened(&folder);
    let first = files(&folder);
    let [(path, content)] = first.as_slice() else {
        assert!(first.is_empty() && !device.name().contains("Vulkan"), "{first:?}");
        return;
    };
    assert!(is_whole(content));
    // Opened once more, with the file, which is written again only if the driver has something to add to it: SwiftShader
    // puts a header before what it was handed, so that there a used file grows.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    opened(&folder);
    let [(_, again)] = files(&folder).try_into().unwrap_or_else(|files| panic!("{files:?}"));
    if again.len() == content.len() {
        assert_eq!(again, *content);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), long_ago, "it was not used");
    } else {
        assert!(is_whole(&again) && again.len() > content.len(), "{} bytes, then {}", content.len(), again.len());
    }
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
        assert!(is_whole(&after), "{what}: as it was");
    }
}

#[test]
fn a_folder_that_cannot_be_written_and_no_folder_are_no_errors() {
    if device().is_none() {
        return;
    }
    let scratch = Scratch::new("cache");
    let file = scratch.write("file", "no folder");
    opened(&file);
    opened(&file.join("below"));
    assert_eq!(std::fs::read(&file).unwrap(), b"no folder");
    opened(Path::new(""));
}
