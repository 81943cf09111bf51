//! Folders of images that are decoded when they are asked for, and the cache file of decoded ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tilegrad::Error;
use tilegrad::data::folder::{self, Folder, FolderOptions};
use tilegrad::data::{Batch, BatchSink, BatchSource, Dataset, DatasetSource, FolderDataset, ImageSet, Resize, Subset};
use tilegrad::graph::{Tape, Values};
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
    for class in ["in/ant", "in/bee"] {
        for name in names(&scratch.join(class)) {
            spoil(&scratch.join(class).join(name));
        }
    }
    let second = read(&scratch, &options);
    assert_eq!((&second.train, &second.test), (&plain.train, &plain.test));
    assert_eq!(ImageSet::collect(&open(&scratch, &options).test).unwrap(), plain.test);
    // Another split needs no other cache.
    assert!(folder::read(&scratch.join("in"), &options.clone().seed(9)).is_ok());
    // Without the cache they are no images.
    assert!(folder::read(&scratch.join("in"), &FolderOptions::default()).is_err());
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
    let image_bytes = 12 * 18;
    for at in (0..whole.len()).step_by(5).chain([whole.len() - 1, image_bytes, whole.len() - 72]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let read = read(&scratch, &options);
        assert_eq!((&read.train, &read.test), (&plain.train, &plain.test), "byte {at}");
        // Damage to an image shows when that is read; then the file goes, and the next run makes it.
        assert_eq!(path.exists(), at >= image_bytes, "byte {at}");
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
    let cut = scratch.write("in/bee/cut.png", &good[..good.len() - 20]);
    let (options, _) = with_cache(&scratch);
    let options = options.skip_bad(true);
    let plain = read(&scratch, &options.clone().cache(None));
    for _ in 0..2 {
        let cached = read(&scratch, &options);
        assert_eq!((&cached.train, &cached.test), (&plain.train, &plain.test));
        let show = |folder: &Folder| folder.skipped.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(show(&cached), show(&plain));
        assert_eq!(cached.skipped.len(), 2);
    }
    // Without a cache what is cut is seen only when it is decoded, and ends the run that asks for it by name.
    let lazy = open(&scratch, &options.clone().cache(None));
    assert_eq!(lazy.skipped.len(), 1);
    let mut source = DatasetSource::new("train", lazy.train);
    let batches = vec![(0..source.len() as u32).collect::<Vec<_>>()];
    source.plan(&batches);
    let train = source.feed(&Batch::evaluate(&batches[0]), &mut Nowhere);
    let test = ImageSet::collect(&lazy.test).map(|_| ());
    let error = [train, test].into_iter().find_map(Result::err).expect("one of them has the file").to_string();
    assert!(error.starts_with(&format!("{}: is no image that can be read", cut.display())), "{error}");
    // With skip_bad unset the first is an error already when the folder is opened.
    let strict = options.skip_bad(false);
    assert!(matches!(folder::open(&scratch.join("in"), &strict), Err(Error::Data { .. })));
}

struct Nowhere;

impl BatchSink for Nowhere {
    fn set_resident(&mut self, _: &str, _: &ImageSet) -> tilegrad::Result<()> {
        Ok(())
    }

    fn tape(&self) -> Option<&Tape> {
        None
    }

    fn write(&mut self, _: &str, _: Values<'_>) -> tilegrad::Result<()> {
        Ok(())
    }
}

#[test]
fn an_image_that_changes_while_it_is_in_use_is_named() {
    let scratch = images("folder-changing");
    let folder = open(&scratch, &FolderOptions::default());
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

/// `--nocapture` shows how long each takes, where TILEGRAD_IMAGE_FOLDER names a folder of images.
#[test]
fn a_real_folder_pays_off_on_the_second_run() {
    let Some(dir) = std::env::var_os("TILEGRAD_IMAGE_FOLDER") else { return };
    let scratch = Scratch::new("folder-real");
    let (options, _) = with_cache(&scratch);
    let timed = |what: &str, options: &FolderOptions| {
        let began = std::time::Instant::now();
        let count = folder::read(Path::new(&dir), options).unwrap().train.len();
        println!("{what}: {count} images to train on, {:.2} s", began.elapsed().as_secs_f64());
    };
    timed("without cache", &FolderOptions::default());
    timed("first run", &options);
    timed("second run", &options);
}
