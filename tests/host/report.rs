//! What a run shows of itself: pictures looked at pixel by pixel, PNG files decoded again, TensorBoard's records parsed.

use std::path::Path;

use tilegrad::Error;
use tilegrad::data::{ImageSet, synthetic};
use tilegrad::ops::confusion::{Confusion, MOST_CLASSES};
use tilegrad::report::sheet::{Colours, Scaling, feature_maps, filters, misclassified};
use tilegrad::report::tensorboard::EventWriter;
use tilegrad::report::{ClassReport, Picture, Prediction, confusion};
use tilegrad::shape::ImageSize;
use tilegrad::train::{Epoch, Measured};

use crate::common::golden::{cases, sizes};
use crate::common::scratch::Scratch;

fn field(error: Error) -> (String, String) {
    match error {
        Error::Config { field, message, .. } => (field, message),
        other => panic!("{other}"),
    }
}

/// Whether a picture has a pixel of this colour.
fn has(picture: &Picture, colour: [u8; 3]) -> bool {
    (0..picture.height()).any(|y| (0..picture.width()).any(|x| picture.pixel(x, y) == Some(colour)))
}

const WHITE: [u8; 3] = [255; 3];
const BLACK: [u8; 3] = [0; 3];
const NAN: [u8; 3] = [255, 0, 255];

/// CRC32C bit by bit, from its polynomial alone.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The payloads of a file of records, whose checksums must hold.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let (bytes, mut records, mut at) = (std::fs::read(path).unwrap(), Vec::new(), 0);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(word(at + 8), masked(&bytes[at..at + 8]));
        let payload = &bytes[at + 12..at + 12 + length];
        assert_eq!(word(at + 12 + length), masked(payload));
        records.push(payload.to_vec());
        at += 16 + length;
    }
    records
}

/// The fields of a message: numbers, and the bytes of an integer (little-endian), a float or a nested message.
fn fields(message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    let varint = |at: &mut usize| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = message[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    while at < message.len() {
        let key = message[at];
        at += 1;
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut at).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut at) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, message[at..at + length].to_vec()));
        at += length;
    }
    found
}

fn get(message: &[u8], number: u8) -> Vec<u8> {
    fields(message).into_iter().find(|(field, _)| *field == number).unwrap_or_else(|| panic!("no field {number}")).1
}

fn step(event: &[u8]) -> u64 {
    u64::from_le_bytes(get(event, 2).try_into().unwrap())
}

/// Tag and value of every scalar of an event.
fn scalars(event: &[u8]) -> Vec<(String, f32)> {
    let values = fields(&get(event, 5)).into_iter().map(|(number, value)| {
        assert_eq!(number, 1);
        let number = f32::from_le_bytes(get(&value, 2).try_into().unwrap());
        (String::from_utf8(get(&value, 1)).unwrap(), number)
    });
    values.collect()
}

#[test]
fn the_checksum_is_that_of_rfc_3720() {
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn tensorboard_records_hold_what_was_written() {
    let folder = Scratch::new("events");
    let dir = folder.join("made");
    let mut writer = EventWriter::create(&dir).unwrap();
    writer.scalar("loss/train", 300, 0.25).unwrap();
    writer.scalar("loss/train", 301, f64::NAN).unwrap();
    let picture = filters("conv1", &[1.0, -1.0], [2, 1, 1, 1], Scaling::Each).unwrap();
    writer.image("filters", 7, &picture).unwrap();
    let epoch = Epoch {
        epoch: 2,
        train_loss: 0.5,
        train_accuracy: 0.75,
        validation_loss: 1.0,
        validation_accuracy: 0.625,
        lr: 0.125,
        seconds: 2.0,
        images_per_second: 1024.0,
        metrics: Vec::new(),
    };
    writer.epoch(&epoch).unwrap();
    let name = writer.path().file_name().unwrap().to_str().unwrap().to_string();
    let second = name.strip_prefix("events.out.tfevents.").unwrap().split('.').next().unwrap();
    assert!(second.len() == 10 && second.parse::<u64>().is_ok(), "{name}");

    let events = records(writer.path());
    assert_eq!(get(&events[0], 3), b"brain.Event:2");
    assert!(f64::from_le_bytes(get(&events[1], 1).try_into().unwrap()) > 1e9);
    assert_eq!((step(&events[1]), scalars(&events[1])), (300, vec![("loss/train".to_string(), 0.25)]));
    assert!(scalars(&events[2])[0].1.is_nan());
    let value = get(&get(&events[3], 5), 1);
    let image = get(&value, 4);
    assert_eq!(get(&value, 1), b"filters");
    assert_eq!(get(&image, 1), (picture.height() as u64).to_le_bytes());
    assert_eq!(get(&image, 2), (picture.width() as u64).to_le_bytes());
    assert_eq!(get(&image, 4), picture.png().unwrap());
    assert_eq!(step(&events[4]), 2);
    let of_epoch = scalars(&events[4]);
    let expected = [0.5, 1.0, 0.75, 0.625, 0.125, 1024.0];
    assert_eq!(of_epoch.iter().map(|(_, value)| *value).collect::<Vec<_>>(), expected);
    assert_eq!(of_epoch[3].0, "accuracy/validation");

    // Of a regression that measures something.
    let metrics = vec![Measured { name: "error".into(), train: 2.0, validation: 4.0 }];
    let regression = Epoch { train_accuracy: f64::NAN, validation_accuracy: f64::NAN, metrics, ..epoch };
    writer.epoch(&regression).unwrap();
    let of_epoch = scalars(records(writer.path()).last().unwrap());
    let tags: Vec<&str> = of_epoch.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(
        tags,
        ["loss/train", "loss/validation", "run/lr", "run/images_per_second", "error/train", "error/validation"]
    );
    assert_eq!(of_epoch[5].1, 4.0);
}

#[test]
fn a_resumed_run_goes_on_in_a_later_file_and_leaves_the_first() {
    let dir = Scratch::new("resumed");
    let first = EventWriter::create(&dir).unwrap().path().to_path_buf();
    let before = std::fs::read(&first).unwrap();
    let mut writer = EventWriter::resume(&dir, 42).unwrap();
    writer.scalar("loss/train", 42, 1.0).unwrap();
    assert!(writer.path() > first.as_path(), "TensorBoard reads in the order of names");
    assert_eq!(std::fs::read(&first).unwrap(), before);
    let events = records(writer.path());
    assert_eq!((step(&events[1]), get(&get(&events[1], 7), 1)), (42, 1u64.to_le_bytes().to_vec()));
    assert_eq!(step(&events[2]), 42);
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let dir = Scratch::new("unwritable");
    let file = dir.join("file");
    std::fs::write(&file, "no folder").unwrap();
    let below = file.join("below");
    for error in [
        EventWriter::create(&below).map(|_| ()).unwrap_err(),
        EventWriter::resume(&file, 1).map(|_| ()).unwrap_err(),
        Picture::new(2, 2, WHITE).unwrap().save(&below).unwrap_err(),
        Picture::new(2, 2, WHITE).unwrap().save(&dir.join("missing").join("x.png")).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, Error::Io { .. }) && text.contains(dir.to_str().unwrap()), "{text}");
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_picture_comes_back_from_its_png() {
    let folder = Scratch::new("png");
    let path = folder.join("maps.png");
    let picture =
        feature_maps("two maps", &[0.0, 1.0, 2.0, 4.0], ImageSize::new(1, 2, 2), Scaling::All, Colours::Viridis)
            .unwrap();
    picture.save(&path).unwrap();
    let read = image::open(&path).unwrap().to_rgb8();
    assert_eq!((read.width() as usize, read.height() as usize), (picture.width(), picture.height()));
    assert!(read.enumerate_pixels().all(|(x, y, p)| picture.pixel(x as usize, y as usize) == Some(p.0)));
    assert_eq!(picture.pixel(picture.width(), 0), None);
    assert_eq!(field(Picture::new(0, 3, WHITE).unwrap_err()).0, "picture");
    assert_eq!(field(Picture::new(usize::MAX, 3, WHITE).unwrap_err()).0, "picture");
}

#[test]
fn filters_are_scaled_around_zero_each_or_all() {
    // Two gray filters of one weight: 2 and -1. Each by itself they are white and black.
    let each = filters("f", &[2.0, -1.0], [2, 1, 1, 1], Scaling::Each).unwrap();
    assert!(has(&each, BLACK) && !has(&each, [64; 3]));
    let all = filters("f", &[2.0, -1.0], [2, 1, 1, 1], Scaling::All).unwrap();
    assert!(has(&all, [64; 3]) && !has(&all, BLACK));
    // Three inputs are one tile in colour: red up, green down, blue zero.
    let colour = filters("f", &[1.0, -1.0, 0.0], [1, 3, 1, 1], Scaling::Each).unwrap();
    assert!(has(&colour, [255, 0, 128]));
    assert!(has(&filters("f", &[0.0; 4], [1, 1, 2, 2], Scaling::Each).unwrap(), [128; 3]));
    assert!(has(&filters("f", &[f32::NAN, 1.0, 0.0], [1, 3, 1, 1], Scaling::All).unwrap(), NAN));
    assert!(has(&filters("f", &[f32::NAN; 2], [1, 2, 1, 1], Scaling::All).unwrap(), NAN));
    // Large layers are cut, and the picture stays of a size that can be looked at.
    let many = filters("f", &vec![0.5; 512 * 512], [512, 512, 1, 1], Scaling::All).unwrap();
    assert!(many.width() < 3000 && many.height() < 3000, "{}x{}", many.width(), many.height());
    let (name, message) = field(filters("f", &[0.0; 5], [2, 1, 1, 2], Scaling::All).unwrap_err());
    assert!(name == "sheet" && message.contains("5 values") && message.contains("[2, 1, 1, 2]"), "{message}");
    assert!(filters("f", &[], [0, 1, 1, 1], Scaling::All).is_err());
}

#[test]
fn feature_maps_are_scaled_each_or_all_and_flat_ones_are_dark() {
    let maps = [0.0, 1.0, 0.0, 4.0];
    let of = |scaling| feature_maps("m", &maps, ImageSize::new(1, 2, 2), scaling, Colours::Viridis).unwrap();
    let (yellow, dark) = ([253, 231, 37], [68, 1, 84]);
    let count = |picture: &Picture, colour| {
        let row = |y| (0..picture.width()).filter(move |&x| picture.pixel(x, y) == Some(colour)).count();
        (0..picture.height()).map(row).sum::<usize>()
    };
    assert_eq!(count(&of(Scaling::Each), yellow), 2 * count(&of(Scaling::All), yellow));
    let flat = feature_maps("m", &[7.0; 4], ImageSize::new(2, 2, 1), Scaling::Each, Colours::Viridis).unwrap();
    assert!(has(&flat, dark) && !has(&flat, yellow));
    let nan =
        feature_maps("m", &[f32::NAN, 0.0, 1.0, f32::INFINITY], ImageSize::new(2, 2, 1), Scaling::Each, Colours::Gray)
            .unwrap();
    assert!(has(&nan, NAN) && has(&nan, BLACK));
    assert!(feature_maps("m", &maps, ImageSize::new(1, 2, 3), Scaling::Each, Colours::Gray).is_err());
}

/// A prediction that is right where `truth` is `predicted`.
fn prediction(image: usize, truth: usize, predicted: usize) -> Prediction {
    Prediction { image, truth, predicted, probability: 0.75, loss: 1.0 }
}

#[test]
fn misclassified_images_are_shown_with_their_captions() {
    let digits = synthetic::digits(1, 20);
    let all = |shift| -> Vec<Prediction> { (0..20).map(|i| prediction(i, i % 10, (i + shift) % 10)).collect() };
    let sheet = misclassified(&digits, &all(1), &[]).unwrap();
    assert!(sheet.width() > 4 * 112 && sheet.height() > 3 * 112, "{}x{}", sheet.width(), sheet.height());
    // An image stands there pixel by pixel, enlarged; its brightest is somewhere on the sheet.
    let brightest = *digits.image(3).iter().max().unwrap();
    assert!(has(&sheet, [brightest; 3]));
    let none = misclassified(&digits, &all(0), &[]).unwrap();
    assert!(none.width() > 100 && none.height() < 60);
    for wrong in [prediction(20, 1, 0), prediction(0, 1, 10)] {
        let (name, message) = field(misclassified(&digits, &[wrong], &[]).unwrap_err());
        assert!(name == "misclassified" && message.contains("20 images and 10 classes"), "{message}");
    }
    let set = ImageSet::new(vec![9; 2 * 12], vec![0, 1], ImageSize::new(2, 2, 3), 2).unwrap();
    let names = ["a very long name of a class indeed".to_string(), "名前".to_string()];
    assert!(has(&misclassified(&set, &[prediction(1, 1, 0)], &names).unwrap(), [9; 3]));
    // All are counted, however few are shown.
    let many: Vec<Prediction> = (0..215).map(|i| prediction(i % 20, 1, 0)).collect();
    let title = |all: &[Prediction]| misclassified(&digits, all, &[]).unwrap();
    assert_ne!(title(&many), title(&many[..214]));
    // Long names of one beginning differ.
    let names = |end: &str| vec![format!("Italian greyhound of the coast in the {end}"), "b".to_string()];
    let drawn = |end| misclassified(&set, &[prediction(1, 1, 0)], &names(end)).unwrap();
    assert_ne!(drawn("east"), drawn("west"));
}

#[test]
fn a_confusion_matrix_is_aligned_text_with_recall_and_precision() {
    let names = ["cat", "dog"].map(String::from);
    let text = confusion::text(2, &[8, 2, 1, 4], &names).unwrap();
    let expected = "\
true \\ predicted  cat  dog  targets  recall  precision
cat                 8    2       10   0.800      0.889
dog                 1    4        5   0.800      0.667
accuracy 0.800, 12 of 15 right
";
    assert_eq!(text, expected);
    // Classes that never came, or were never named, have no ratio.
    let text = confusion::text(2, &[3, 0, 0, 0], &[]).unwrap();
    assert!(text.contains("0       -          -"), "{text}");
    assert!(text.contains("accuracy 1.000, 3 of 3 right"), "{text}");
    let empty = confusion::text(1, &[0], &[]).unwrap();
    assert!(empty.contains("accuracy -, 0 of 0 right"), "{empty}");
    // With many classes, the confusions that count.
    let mut counts = vec![0; 100 * 100];
    (0..100).for_each(|i| counts[i * 101] = 90);
    (counts[3 * 100 + 7], counts[8 * 100]) = (10, 4);
    let text = confusion::text(100, &counts, &[]).unwrap();
    assert!(text.lines().all(|line| line.len() < 100) && text.lines().count() == 104, "{text}");
    let last: Vec<&str> = text.lines().skip(102).map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(last, ["10", "4"]);
    for (classes, counts, names) in [(2, vec![1; 3], 0), (0, vec![], 0), (2, vec![1; 4], 3), (usize::MAX, vec![1], 0)] {
        let names = vec![String::new(); names];
        assert_eq!(field(confusion::text(classes, &counts, &names).unwrap_err()).0, "confusion matrix");
        assert!(confusion::picture(classes, &counts, &names).is_err());
    }
}

#[test]
fn confusions_are_told_in_words() {
    let names = ["cat", "dog", "a\nb"].map(String::from);
    let counts = [28, 12, 0, 1, 9, 0, 0, 3, 0];
    let words = confusion::most_confused(3, &counts, &names, 2).unwrap();
    assert_eq!(words, ["12 of 40 images of cat were taken for dog", "3 of 3 images of a\\nb were taken for dog"]);
    let all = confusion::most_confused(3, &counts, &[], 9).unwrap();
    assert_eq!((all.len(), all[2].as_str()), (3, "1 of 10 images of 1 was taken for 0"));
    assert!(confusion::most_confused(3, &counts[1..], &[], 9).is_err());
    assert_eq!(confusion::most_confused(6_000, &vec![1; 3 * 6_000], &[], 9).unwrap(), Vec::<String>::new());
    // The table escapes, and aligns wide letters.
    let names = ["猫", "dog", "a\nb"].map(String::from);
    let text = confusion::text(3, &counts, &names).unwrap();
    assert!(text.contains("a\\nb") && text.lines().count() == 5, "{text}");
    assert!(text.contains("\n猫                28   12"), "{text}");
}

#[test]
fn names_of_one_beginning_stay_apart_in_tables_and_pictures() {
    let names = |end: [&str; 2]| end.map(|end| format!("Chihuahua of the {end} mountains")).to_vec();
    let text = confusion::text(2, &[3, 1, 0, 4], &names(["eastern", "western"])).unwrap();
    let rows: Vec<&str> = text.lines().skip(1).take(2).map(|line| &line[..20]).collect();
    assert_ne!(rows[0], rows[1], "{text}");
    let picture = |end| {
        let names = ["plain".to_string(), format!("Chihuahua of the mountains in the {end}")];
        confusion::picture(2, &[3, 1, 0, 4], &names).unwrap()
    };
    assert!(picture("east") != picture("west"));
    let folder = Scratch::new("legend");
    confusion::write(&folder, 2, &[3, 1, 0, 4], &names(["eastern", "western"])).unwrap();
    let text = std::fs::read_to_string(folder.join("confusion.txt")).unwrap();
    assert!(text.contains("class 0, Chihuahua of the eastern mountains\n"), "{text}");
}

#[test]
fn a_confusion_matrix_is_a_picture_for_any_number_of_classes() {
    let blue = [0x1f, 0x77, 0xb4];
    for classes in [1, 2, 10, 12, 13, 20, 21, 100, 121, 1000] {
        let counts: Vec<u64> =
            (0..classes * classes).map(|i| u64::from(i / classes == i % classes) * 123_456).collect();
        let picture = confusion::picture(classes, &counts, &[]).unwrap();
        assert!(picture.width() < 3000 && picture.height() < 3000, "{classes}");
        assert!(has(&picture, blue), "{classes}");
    }
    assert!(confusion::picture(3, &[0; 9], &[]).is_ok());
    // All wrong: no blue, but orange.
    let wrong = confusion::picture(2, &[0, 5, 5, 0], &[]).unwrap();
    assert!(!has(&wrong, blue) && has(&wrong, [0xd9, 0x5f, 0x02]));
    assert!(confusion::picture(2, &[u64::MAX; 4], &[]).is_ok());
}

/// scikit-learn's figures and its classification_report, for every case of metrics.json.
#[test]
fn a_report_by_class_is_scikit_learns() {
    for case in cases("metrics") {
        let names: Vec<String> =
            case.json["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_string()).collect();
        let counts = sizes(&case.json["counts"]).into_iter().map(|count| count as u64).collect();
        let found = Confusion { classes: names.len(), counts, ..Confusion::default() };
        let report = ClassReport::new(&found, &names).unwrap();
        for (key, value) in [
            ("accuracy", report.accuracy),
            ("balanced_accuracy", report.balanced_accuracy),
            ("balanced_accuracy", found.balanced_accuracy()),
            ("macro_f1", found.macro_f1()),
            ("macro_f1", Some(report.macro_avg.f1)),
        ] {
            let expected = case.json[key].as_f64().unwrap();
            assert!((value.unwrap() - expected).abs() < 1e-12, "{} {key}: {value:?}, {expected}", case.name);
        }
        assert_eq!(report.to_string(), case.json["report"].as_str().unwrap(), "{}", case.name);
    }
}

/// Of many classes the first and the worst are shown, in 80 columns; without a matrix as with one.
#[test]
fn a_report_of_many_classes_shows_the_worst() {
    let classes = MOST_CLASSES + 9;
    // Every class has ten targets; class 77 none right, whose images are taken for class 0.
    let mut counts = vec![10; 3 * classes];
    (counts[77], counts[2 * classes], counts[2 * classes + 77]) = (0, 20, 0);
    let found = Confusion { classes, counts: counts.clone(), ..Confusion::default() };
    let names: Vec<String> = (0..classes).map(|class| format!("{class} {}", "long ".repeat(20))).collect();
    let text = ClassReport::new(&found, &names).unwrap().to_string();
    assert!(text.lines().count() < 35 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("77 long") && text.contains("and of the 5795 others"), "{text}");
    let text = confusion::text(classes, &counts, &[]).unwrap();
    assert!(
        text.contains("The confusion matrix is left out: it is counted for up to 5791 classes, here are 5800."),
        "{text}"
    );
    let folder = Scratch::new("classes");
    confusion::write(&folder.path(""), classes, &counts, &[]).unwrap();
    assert!(folder.path("confusion.txt").exists() && !folder.path("confusion.png").exists());
    assert_eq!(field(ClassReport::new(&found, &names[1..]).unwrap_err()).0, "class report");
}
