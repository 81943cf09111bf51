//! Folders as people have them: parts in any capitals, images at any depth, links, odd names, and what is said of them.

use std::collections::BTreeMap;
use std::fs;

use tilegrad::Error;
use tilegrad::data::{FolderOptions, Opened, Overview, SplitKind, open};

use crate::scratch::{Scratch, colour};

fn read(scratch: &Scratch, dir: &str) -> Opened {
    open(&scratch.join(dir), &FolderOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(scratch: &Scratch, dir: &str) -> String {
    open(&scratch.join(dir), &FolderOptions::default()).map(|_| ()).unwrap_err().to_string()
}

/// Different images.
fn images(scratch: &Scratch, names: &[&str]) {
    for (i, name) in names.iter().enumerate() {
        colour(scratch, &format!("{name}.png"), i as u8);
    }
}

fn kinds(opened: &Opened) -> [SplitKind; 2] {
    [opened.split.validation, opened.split.test]
}

#[test]
fn parts_have_many_names_in_any_capitals() {
    for (i, [train, val, test]) in [
        ["train", "val", "test"],
        ["Train", "Valid", "TEST"],
        ["training", "dev", "testing"],
        ["TRAINING", "Validation", "Test"],
    ]
    .into_iter()
    .enumerate()
    {
        let scratch = Scratch::new(&format!("layouts-parts-{i}"));
        let name = |part: &str, rest: &str| format!("{part}/{rest}");
        let names = [
            name(train, "ant/1"),
            name(train, "bee/1"),
            name(train, "bee/2"),
            name(val, "ant/3"),
            name(val, "bee/4"),
            name(test, "bee/5"),
        ];
        images(&scratch, &names.each_ref().map(String::as_str));
        let opened = read(&scratch, "");
        assert_eq!([opened.train.len(), opened.validation.len(), opened.test.len()], [3, 2, 1]);
        assert_eq!(kinds(&opened), [SplitKind::Given; 2]);
        assert_eq!(opened.test.labels, [1]);
        // Without a test there is none, unless it is asked for; without validation a part is held out.
        fs::remove_dir_all(scratch.join(test)).unwrap();
        let opened = read(&scratch, "");
        assert_eq!((kinds(&opened), opened.test.len()), ([SplitKind::Given, SplitKind::None], 0));
        assert!(opened.overview.to_string().contains("note: there are no images to test with"), "{}", opened.overview);
        fs::remove_dir_all(scratch.join(val)).unwrap();
        assert_eq!(kinds(&read(&scratch, "")), [SplitKind::HeldOut; 2]);
    }
}

#[test]
fn a_class_may_be_called_train() {
    let scratch = Scratch::new("layouts-class");
    images(&scratch, &["train/1", "train/2", "bus/3", "bus/4"]);
    assert_eq!(read(&scratch, "").train.class_names, ["bus", "train"]);
    // Also with folders in it, beside a class that holds images.
    let scratch = Scratch::new("layouts-class-deep");
    images(&scratch, &["train/2024/1", "train/2025/2", "bus/3", "bus/4"]);
    assert_eq!(read(&scratch, "").train.class_names, ["bus", "train"]);
}

#[test]
fn two_readings_are_both_said() {
    let scratch = Scratch::new("layouts-both");
    images(&scratch, &["train/2024/1", "train/2025/2", "bus/red/3", "bus/blue/4"]);
    let error = refused(&scratch, "");
    for part in
        ["can be read in two ways", "with the classes 2024, 2025", "beside bus", "rename train", "move bus away"]
    {
        assert!(error.contains(part), "{error} without {part}");
    }
    let scratch = Scratch::new("layouts-unlabelled");
    images(&scratch, &["train/cat/1", "train/dog/2", "test/3"]);
    assert!(refused(&scratch, "").contains("test, which holds images without classes"));
    let scratch = Scratch::new("layouts-twice");
    images(&scratch, &["train/cat/1", "train/dog/2", "val/cat/3", "valid/dog/4"]);
    assert!(refused(&scratch, "").contains("is the same part of the data as"));
}

#[test]
fn a_folder_too_high_names_the_right_one() {
    let scratch = Scratch::new("layouts-high");
    images(&scratch, &["a/mydata/train/cat/1", "a/mydata/train/dog/2", "a/mydata/test/cat/3"]);
    for dir in ["", "a"] {
        let error = refused(&scratch, dir);
        assert!(error.contains("is one folder too high: name "), "{error}");
        assert!(error.contains(scratch.join("a/mydata").to_str().unwrap()), "{error}");
    }
    assert_eq!(read(&scratch, "a/mydata").test.len(), 1);
    let scratch = Scratch::new("layouts-high-classes");
    images(&scratch, &["mydata/cat/1", "mydata/dog/2"]);
    assert!(refused(&scratch, "").contains("one folder too high"));
    let scratch = Scratch::new("layouts-high-part");
    images(&scratch, &["train/mydata/cat/1", "train/mydata/dog/2", "test/cat/3", "test/dog/4"]);
    let error = refused(&scratch, "");
    let [train, mydata] = ["train", "train/mydata"].map(|name| scratch.text(name));
    assert!(error.contains(&format!("{train}: is one folder too high: cat, dog lie in {mydata}")), "{error}");
    // Nested folders are no reason.
    let scratch = Scratch::new("layouts-nested");
    images(&scratch, &["cat/2024/01/1", "cat/2", "dog/2025/1", "dog/2024/2"]);
    assert_eq!(read(&scratch, "").overview.counts().iter().sum::<usize>(), 4);
}

#[test]
fn images_at_any_depth_count_and_the_rest_is_counted_by_ending() {
    let scratch = Scratch::new("layouts-passed");
    images(&scratch, &["ant/1", "ant/sub/2024/2", "bee/3", "bee/4"]);
    for name in
        ["ant/a.txt", "ant/sub/b.TXT", "bee/c.heic", "bee/README", "list.csv", "ant/.hidden.txt", "__MACOSX/ant/x.txt"]
    {
        scratch.write(name, "no image");
    }
    for name in ["runs/mine/config.toml", "runs/mine/summary.json"] {
        scratch.write(name, "");
    }
    colour(&scratch, "runs/mine/mistakes.png", 9);
    colour(&scratch, "stray.png", 10);
    let opened = read(&scratch, "");
    assert_eq!(opened.train.class_names, ["ant", "bee"]);
    let text = opened.overview.passed.to_string();
    assert!(text.starts_with("2 .txt, 1 .csv, 1 .heic, 1 without ending, 1 images outside the classes"), "{text}");
    assert!(text.contains("runs/mine"), "{text}");
    assert_eq!(opened.overview.counts().iter().sum::<usize>(), 4);
}

/// A path of more than 4,096 bytes can't be read even by root.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_can_not_be_read_is_named_or_left_out_and_said() {
    let scratch = Scratch::new("layouts-unreadable");
    let deep = |root: &str| (0..9).fold(scratch.join(root), |path, i| path.join(format!("{i}").repeat(250)));
    for (class, shade) in [("cat", 1), ("dog", 40)] {
        (0..3).for_each(|i| colour(&scratch, &format!("data/{class}/{i}.png"), shade + i));
    }
    let (inner, outer) = (deep("aside"), deep("data/dog"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir_all(&outer).unwrap();
    fs::rename(scratch.join("aside"), outer.join("deeper")).unwrap();

    let error = refused(&scratch, "data");
    assert!(error.contains("data/dog/000") && error.contains("name too long"), "{error}");
    for skip in [FolderOptions::default(), FolderOptions::default().cache(scratch.join("cache"))] {
        let opened = open(&scratch.join("data"), &skip.skip_bad(true)).unwrap();
        assert_eq!(opened.overview.counts().iter().sum::<usize>(), 6);
        let [Error::Io { path, .. }] = opened.skipped.as_slice() else { panic!("{:?}", opened.skipped) };
        assert!(path.starts_with(scratch.join("data/dog")));
        assert_eq!((opened.overview.skipped, opened.overview.passed.unreadable.len()), (0, 1));
        assert!(opened.overview.passed.to_string().ends_with(", which can't be read"));
    }
    // A folder that is not there is an error in any case.
    assert!(open(&scratch.join("none"), &FolderOptions::default().skip_bad(true)).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_followed_once_and_never_in_a_circle() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new("layouts-links");
    images(&scratch, &["in/ant/1", "in/ant/2", "in/bee/3", "elsewhere/4", "elsewhere/deep/5"]);
    let link = |to: &str, at: &str| symlink(scratch.join(to), scratch.join(at)).unwrap();
    link("elsewhere", "in/bee/more");
    link("elsewhere", "in/bee/again");
    link("in", "in/ant/up");
    link("in/ant", "in/ant/self");
    link("in/ant/1.png", "in/ant/twin.png");
    // Two links that lead to each other.
    link("in/bee", "elsewhere/deep/back");
    let opened = read(&scratch, "in");
    let counts: BTreeMap<_, _> =
        opened.overview.classes.iter().map(|class| (class.name.clone(), class.total())).collect();
    assert_eq!(counts, BTreeMap::from([("ant".into(), 2), ("bee".into(), 3)]));
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text_stay_apart_and_are_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new("layouts-names");
    images(&scratch, &["0"]);
    for (i, name) in [&b"a\xff"[..], b"a\xfe", b"line\nbreak", "猫".as_bytes()].iter().enumerate() {
        let dir = scratch.join("in").join(OsStr::from_bytes(name));
        fs::create_dir_all(&dir).unwrap();
        colour(&scratch, "0.png", i as u8);
        fs::copy(scratch.join("0.png"), dir.join("1.png")).unwrap();
    }
    let opened = read(&scratch, "in");
    assert_eq!(opened.train.class_names, ["a\\xfe", "a\\xff", "line\nbreak", "猫"]);
    let text = opened.overview.to_string();
    assert!(text.contains("line\\nbreak 1") && !text.contains("line\nbreak"), "{text}");
    fs::create_dir(scratch.join("in").join("new\nline")).unwrap();
    assert!(refused(&scratch, "in").contains("new\\nline: is a class without an image"));
}

fn overview(scratch: &Scratch) -> Overview {
    read(scratch, "").overview
}

#[test]
fn one_image_a_class_trains_without_validation_and_says_so() {
    let scratch = Scratch::new("layouts-one");
    images(&scratch, &["ant/1", "bee/2", "cow/3"]);
    let opened = read(&scratch, "");
    assert_eq!(opened.overview.counts(), [3, 0, 0]);
    let text = opened.overview.to_string().replace("\n  ", " ");
    assert!(text.contains("note: too few images to validate with any: each class keeps one to train on"), "{text}");
    let scratch = Scratch::new("layouts-single");
    images(&scratch, &["ant/1", "ant/2"]);
    assert!(refused(&scratch, "").contains("has one class only, \"ant\""));
}

#[test]
fn the_overview_says_what_is_odd_in_lines_that_fit() {
    let scratch = Scratch::new("layouts-odd");
    for i in 0..33 {
        colour(&scratch, &format!("train/ant/{i}.png"), i);
    }
    images(&scratch, &["train/bee/100"]);
    for i in 0..3 {
        fs::copy(scratch.join(format!("train/ant/{i}.png")), scratch.path(&format!("test/ant/{i}.png"))).unwrap();
    }
    colour(&scratch, "test/ant/new.png", 200);
    let overview = overview(&scratch);
    let text = overview.to_string().replace("\n  ", " ");
    assert!(text.contains("2 classes: ant 37, bee 1"), "{text}");
    for part in ["fewer than 10 images: bee has 1", "imbalance 37 to 1: ant has 37, bee has 1", "never tested"] {
        assert!(text.contains(part), "{text} without {part}");
    }
    let found: usize = overview.duplicates.iter().map(|found| found.count).sum();
    assert_eq!(found, 3, "{:?}", overview.duplicates);
    let paths = |line: &str| line.contains('/');
    assert!(overview.lines().iter().all(|line| line.chars().count() <= 71 || paths(line)), "{overview}");
    // Of many classes the first and the last.
    let scratch = Scratch::new("layouts-many");
    for i in 0..40 {
        colour(&scratch, &format!("class{i:02}/1.png"), i);
    }
    let text = read(&scratch, "").overview.to_string();
    assert!(text.contains("40 classes: class00 1, class01 1,") && text.contains(", .., class36 1,"), "{text}");
}

#[test]
fn the_order_in_which_files_were_made_decides_nothing() {
    let make = |name: &str, order: &mut dyn Iterator<Item = u8>| {
        let scratch = Scratch::new(name);
        order.for_each(|i| colour(&scratch, &format!("{}/{i:02}.png", ["ant", "bee"][usize::from(i % 2)]), i));
        let opened = read(&scratch, "");
        (opened.train, opened.validation, opened.test)
    };
    assert_eq!(make("layouts-forward", &mut (0..30)), make("layouts-backward", &mut (0..30).rev()));
}
