//! Folders of images that are decoded when they are asked for, and the cache file of decoded ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tilegrad::Error;
use tilegrad::data::folder::{self, Folder, FolderOptions};
use tilegrad::data::{Dataset, FolderDataset, ImageSet, Resize, Subset};
use tilegrad::shape::ImageSize;

use crate::scratch::{Scratch, SmallDisk, colour, gray, names, unwritable};

/// Two classes with ten colour images and two gray ones.
fn images(test: &str) -> Scratch {
    let scratch = Scratch::new(test);
    for i in 0..10 {
        colour(&scratch, &format!("in/{}/{i}.png", if i % 2 == 0 { "ant" } else { "bee" }), 20 * i);
    }
    gray(&scratch, "in/ant/gray.png", 77);
    gray(&scratch, "in/bee/gray.png", 88);
    scratch
}

fn read(scratch: &Scratch, options: &FolderOptions) -> Folder {
    folder::read(&scratch.join("in"), options).unwrap()
}

fn open(scratch: &Scratch, options: &FolderOptions) -> Folder<Subset<FolderDataset>> {
    folder::open(&scratch.join("in"), options).unwrap()
}

fn with_cache(scratch: &Scratch) -> (FolderOptions, PathBuf) {
    let path = scratch.join("cache/decoded");
    (FolderOptions::default().cache(path.clone()), path)
}

#[test]
fn images_on_demand_are_those_in_memory() {
    let scratch = images("folder-lazy");
    for resize in [None, Some(Resize::stretch(4, 4))] {
        for keep in [0, 40, u64::MAX] {
            let options = FolderOptions::default().resize(resize).keep(keep).seed(3);
            let (eager, lazy) = (read(&scratch, &options), open(&scratch, &options));
            assert_eq!(
                lazy.train.image_size(),
                if resize.is_some() { ImageSize::new(4, 4, 3) } else { ImageSize::new(2, 3, 3) }
            );
            // Twice: what has been kept is what was decoded.
            for _ in 0..2 {
                assert_eq!(ImageSet::collect(&lazy.train).unwrap(), eager.train);
                assert_eq!(ImageSet::collect(&lazy.test).unwrap(), eager.test);
            }
        }
    }
    let whole = open(&scratch, &FolderOptions::default()).train;
    assert_eq!(whole.whole().path(0).unwrap(), scratch.join("in/ant/0.png"));
    assert!(whole.whole().get(12).is_err());
}

/// Replaces a file's content by other content that is no image, of the same length and time.
fn spoil(path: &Path) {
    let (time, length) = (fs::metadata(path).unwrap().modified().unwrap(), fs::read(path).unwrap().len());
    fs::write(path, vec![b'x'; length]).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_is_kept_is_not_decoded_again() {
    let scratch = images("folder-kept");
    let options = FolderOptions::default().keep(u64::MAX);
    let folder = open(&scratch, &options);
    let first = ImageSet::collect(&folder.train).unwrap();
    let lazy = open(&scratch, &FolderOptions::default());
    for class in ["in/ant", "in/bee"] {
        names(&scratch.join(class)).iter().for_each(|name| spoil(&scratch.join(class).join(name)));
    }
    assert_eq!(ImageSet::collect(&folder.train).unwrap(), first);
    // Without it the files are read again, and the first is named.
    let first = lazy.train.whole().path(lazy.train.indices()[0] as usize).unwrap();
    let error = ImageSet::collect(&lazy.train).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: is no image that can be read", first.display())), "{error}");
}

#[test]
fn the_second_run_reads_the_cache_and_decodes_nothing() {
    let scratch = images("folder-cache");
    let plain = read(&scratch, &FolderOptions::default());
    let (options, path) = with_cache(&scratch);
    let first = read(&scratch, &options);
    assert_eq!((&first.train, &first.test), (&plain.train, &plain.test));
    assert_eq!(names(path.parent().unwrap()), ["decoded"], "no temporary file stays");
    let written = fs::read(&path).unwrap();
    // Neither a name nor a time says that an image is another.
    fs::rename(scratch.join("in/ant/0.png"), scratch.join("in/ant/00.png")).unwrap();
    File::options()
        .write(true)
        .open(scratch.join("in/bee/1.png"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let second = read(&scratch, &options);
    assert_eq!((&second.train, &second.test), (&plain.train, &plain.test));
    assert_eq!(ImageSet::collect(&open(&scratch, &options).test).unwrap(), plain.test);
    // Another split needs no other cache.
    assert!(folder::read(&scratch.join("in"), &options.clone().seed(9)).is_ok());
    assert_eq!((fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()), (written, time));
    // Other content of the same name, length and time does.
    spoil(&scratch.join("in/bee/1.png"));
    let error = folder::read(&scratch.join("in"), &options).unwrap_err().to_string();
    assert!(error.contains("1.png: is no image that can be read"), "{error}");
}

#[test]
fn every_image_has_the_digest_of_its_file() {
    let scratch = images("folder-digests");
    let (cache, _) = with_cache(&scratch);
    for options in [FolderOptions::default(), cache, FolderOptions::default().skip_bad(true).resize(Resize::crop(2))] {
        let (eager, lazy) = (read(&scratch, &options), open(&scratch, &options));
        for (set, part) in [(&eager.train, &lazy.train), (&eager.test, &lazy.test)] {
            for i in 0..set.len() {
                let path = part.whole().path(part.indices()[i] as usize).unwrap();
                let expected = crc32c::crc32c(&fs::read(path).unwrap());
                assert_eq!((set.digest(i).unwrap(), part.digest(i).unwrap()), (expected, expected));
            }
            assert_eq!(set.subset(&[1]).digest(0).unwrap(), set.digest(1).unwrap());
        }
    }
    // Images that are from no file have one by their bytes, whatever their label.
    let set = |label| ImageSet::new(vec![1, 2, 3], vec![label], ImageSize::new(1, 1, 3), 2).unwrap();
    assert_eq!(set(0).digest(0).unwrap(), crc32c::crc32c(&[1, 2, 3]));
    assert_eq!(set(0).digest(0).unwrap(), set(1).digest(0).unwrap());
}

#[test]
fn a_file_that_is_no_cache_is_not_overwritten() {
    let scratch = images("folder-foreign");
    for content in ["a letter to nobody", "short"] {
        let path = scratch.write("letter.txt", content);
        let options = FolderOptions::default().cache(path.clone());
        let error = folder::read(&scratch.join("in"), &options).unwrap_err().to_string();
        assert!(error.contains("letter.txt: is no cache of decoded images and is not overwritten"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn numbers_of_a_cache_are_not_trusted_with_memory() {
    let scratch = images("folder-hostile");
    let (options, path) = with_cache(&scratch);
    let plain = read(&scratch, &options);
    let whole = fs::read(&path).unwrap();
    // Each number of the trailer but its key.
    for word in 1..7 {
        for value in [0, 1, 1 << 20, 1 << 40, u64::MAX] {
            let mut bytes = whole.clone();
            let at = bytes.len() - 72 + 8 * word;
            bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&scratch, &options).train, plain.train, "word {word} is {value}");
        }
    }
}

#[test]
fn a_changed_folder_or_option_makes_the_cache_anew() {
    let scratch = images("folder-stale");
    let (options, path) = with_cache(&scratch);
    read(&scratch, &options);
    let mut last = fs::read(&path).unwrap();
    let mut changed = |what: &str, options: &FolderOptions| {
        let plain = read(&scratch, &options.clone().cache(None));
        let cached = read(&scratch, options);
        assert_eq!((&cached.train, &cached.test), (&plain.train, &plain.test), "{what}");
        let content = fs::read(&path).unwrap();
        assert_ne!(content, last, "{what}");
        last = content;
    };
    colour(&scratch, "in/ant/new.png", 200);
    changed("a new file", &options);
    fs::rename(scratch.join("in/ant/new.png"), scratch.join("in/bee/new.png")).unwrap();
    changed("a file of another class", &options);
    fs::remove_file(scratch.join("in/bee/new.png")).unwrap();
    changed("one file less", &options);
    gray(&scratch, "in/ant/gray.png", 12);
    changed("another content", &options);
    changed("another size", &options.clone().resize(Resize::stretch(5, 4)));
}

#[test]
fn a_damaged_cache_is_noticed_and_made_anew() {
    let scratch = images("folder-damaged");
    let (options, path) = with_cache(&scratch);
    let plain = read(&scratch, &options);
    let whole = fs::read(&path).unwrap();
    // The mark of the file and the images.
    let image_bytes = 8 + 12 * 18;
    for at in (0..whole.len()).step_by(5).chain([whole.len() - 1, image_bytes, whole.len() - 72]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let read = read(&scratch, &options);
        assert_eq!((&read.train, &read.test), (&plain.train, &plain.test), "byte {at}");
        // Damage to an image shows when that is read; then the file goes, and the next run makes it.
        assert_eq!(path.exists(), !(8..image_bytes).contains(&at), "byte {at}");
        self::read(&scratch, &options);
        assert_eq!(fs::read(&path).unwrap(), whole, "byte {at}");
    }
    for length in [0, 1, 71, 72, 100, image_bytes, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(read(&scratch, &options).train, plain.train, "cut to {length}");
        assert_eq!(fs::read(&path).unwrap(), whole, "cut to {length}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(read(&scratch, &options).train, plain.train);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn files_left_out_are_remembered_with_the_reason() {
    let scratch = images("folder-skipped");
    scratch.write("in/ant/0bad.jpg", "not a picture");
    let good = fs::read(scratch.join("in/bee/3.png")).unwrap();
    scratch.write("in/bee/cut.png", &good[..good.len() - 20]);
    let (options, _) = with_cache(&scratch);
    let options = options.skip_bad(true).validation(0.0);
    let plain = read(&scratch, &options.clone().cache(None));
    for _ in 0..2 {
        let cached = read(&scratch, &options);
        assert_eq!((&cached.train, &cached.test), (&plain.train, &plain.test));
        let show = |folder: &Folder| folder.skipped.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(show(&cached), show(&plain));
        assert_eq!(cached.skipped.len(), 2);
    }
    // The same files are left out of images decoded on demand.
    let lazy = open(&scratch, &options.clone().cache(None));
    assert_eq!(lazy.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), {
        plain.skipped.iter().map(ToString::to_string).collect::<Vec<_>>()
    });
    assert_eq!(ImageSet::collect(&lazy.train).unwrap(), plain.train);
    // With skip_bad unset the first is an error already when the folder is opened.
    let strict = options.skip_bad(false);
    assert!(matches!(folder::open(&scratch.join("in"), &strict), Err(Error::Data { .. })));
}

#[test]
fn an_image_that_changes_while_it_is_in_use_is_named() {
    let scratch = images("folder-changing");
    let folder = open(&scratch, &FolderOptions::default().validation(0.0));
    image::RgbImage::new(5, 5).save(scratch.join("in/ant/2.png")).unwrap();
    let sets = [ImageSet::collect(&folder.train), ImageSet::collect(&folder.test)];
    let error = sets.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(error.ends_with("2.png: has changed since the folder was opened; open it again"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let scratch = images("folder-unwritable");
    let dir = unwritable(&scratch);
    let options = FolderOptions::default().cache(dir.join("decoded"));
    let error = folder::read(&scratch.join("in"), &options).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == dir.join("decoded")), "{error}");

    let Some(disk) = SmallDisk::new(&scratch, 16) else { return };
    let path = disk.0.join("decoded");
    let options = FolderOptions::default().cache(path.clone()).resize(Resize::stretch(64, 64));
    let error = folder::read(&scratch.join("in"), &options).unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    assert!(error.to_string().contains("space"), "{error}");
    assert!(disk.names().is_empty(), "what was begun has gone: {:?}", disk.names());
}

/// `--nocapture` shows how fast images are read and what memory that takes, where TILEGRAD_IMAGE_FOLDER names a folder.
#[test]
fn a_real_folder_is_read_fast_and_once() {
    let Some(dir) = std::env::var_os("TILEGRAD_IMAGE_FOLDER") else { return };
    let scratch = Scratch::new("folder-real");
    let (cached, _) = with_cache(&scratch);
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::trim).map(str::to_string));
        line.and_then(|line| line.split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let options = FolderOptions::default().resize(Resize::crop(224));
    for (what, options) in
        [("in memory", &options), ("first run with a cache", &cached.clone().resize(Resize::crop(224)))]
    {
        let (began, before) = (std::time::Instant::now(), peak());
        let folder = folder::read(Path::new(&dir), options).unwrap();
        let (train, validation) = folder.train.into_split_validation(0.1, 1).unwrap();
        let count = train.len() + validation.len() + folder.test.len();
        let (seconds, mib) = (began.elapsed().as_secs_f64(), (count * train.image_bytes()) as f64 / 1_048_576.0);
        let rate = count as f64 / seconds;
        println!(
            "{what}: {count} images, {rate:.0} a second, {mib:.0} MiB; peak {before:.0} before, {:.0} after",
            peak()
        );
    }
}
