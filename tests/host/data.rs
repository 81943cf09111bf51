//! Folders of images, written here and read back; and what augmentation and normalisation refuse.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage, RgbaImage};
use tilegrad::Error;
use tilegrad::data::folder::{self, FolderOptions};
use tilegrad::data::{Augment, BatchSource, DatasetSource, ImageSet, ResidentSource, Resize, shapes};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::ops::gather::Gather;
use tilegrad::optim::Sgd;
use tilegrad::rng::draw;
use tilegrad::shape::{DType, ImageSize};
use tilegrad::train::{CpuEngine, TrainOptions, Trainer};

use crate::common::scratch::Scratch;

/// A folder of images.
struct Folder(Scratch);

impl Folder {
    fn new(test: &str) -> Self {
        Folder(Scratch::new(test))
    }

    /// A colour image, 3 wide and 2 high, all of `shade` but its last pixel.
    fn colour(&self, name: &str, shade: u8) {
        let mut image = RgbImage::from_pixel(3, 2, Rgb([shade, shade / 2, 7]));
        image.put_pixel(2, 1, Rgb([1, 2, 3]));
        image.save(self.0.path(name)).unwrap();
    }

    fn gray(&self, name: &str, [height, width]: [u32; 2], shade: u8) {
        GrayImage::from_pixel(width, height, Luma([shade])).save(self.0.path(name)).unwrap();
    }

    fn read(&self, options: FolderOptions) -> tilegrad::Result<folder::Folder> {
        folder::read(&self.0, &options)
    }

    /// The message of the Data error that reading gives, after checking that it blames `name`.
    fn fault(&self, name: &str, options: FolderOptions) -> String {
        match self.read(options) {
            Err(Error::Data { path, message, .. }) => {
                assert_eq!(path, self.0.join(name), "{message}");
                message
            }
            other => panic!("expected a Data error, got {other:?}"),
        }
    }
}

/// Two classes, listed here in another order than that of their names, and files that are no images.
fn train_and_test(test: &str) -> Folder {
    let folder = Folder::new(test);
    for (i, name) in ["train/zebra/b.png", "train/zebra/a.PNG", "train/ant/1.png", "test/ant/1.png", "test/zebra/x.png"]
        .iter()
        .enumerate()
    {
        folder.colour(name, 10 * (i as u8 + 1));
    }
    fs::write(folder.0.path("train/zebra/readme.txt"), "no image").unwrap();
    fs::write(folder.0.path("train/zebra/.hidden.png"), "no image").unwrap();
    fs::write(folder.0.path("train/list.csv"), "no folder").unwrap();
    fs::create_dir_all(folder.0.join("train/.cache")).unwrap();
    folder
}

#[test]
fn classes_and_images_come_in_the_order_of_their_names() {
    let folder = train_and_test("order");
    let read = folder.read(FolderOptions::default()).unwrap();
    assert!(read.skipped.is_empty());
    let (train, test) = (read.train, read.test);
    assert_eq!(train.class_names, ["ant", "zebra"]);
    assert_eq!((train.height, train.width, train.channels, train.classes), (2, 3, 3, 2));
    assert_eq!((train.labels.as_slice(), test.labels.as_slice()), ([0, 1, 1].as_slice(), [0, 1].as_slice()));
    let shades = |set: &ImageSet| (0..set.len()).map(|i| set.image(i)[0]).collect::<Vec<_>>();
    assert_eq!((shades(&train), shades(&test)), (vec![30, 20, 10], vec![40, 50]));
    assert_eq!(train.image(0)[12..], [30, 15, 7, 1, 2, 3], "rows, pixels, colours");
}

#[test]
fn without_a_train_folder_a_seeded_part_is_held_out() {
    let folder = Folder::new("split");
    for i in 0..20 {
        folder.colour(&format!("{}/{i:02}.png", if i % 2 == 0 { "a" } else { "b" }), 5 * i);
    }
    let read = |seed| folder.read(FolderOptions::default().seed(seed).test(0.2).validation(0.2)).unwrap();
    let first = read(1);
    assert_eq!((first.train.len(), first.validation.len(), first.test.len()), (12, 4, 4));
    assert_eq!(first.split.to_string(), "validation and test held out by class (shares 0.2 and 0.2, seed 1)");
    for part in [&first.validation, &first.test] {
        assert_eq!(part.labels, [0, 0, 1, 1], "as many of each class");
    }
    assert_eq!(first.test.class_names, ["a", "b"]);
    let again = read(1);
    assert_eq!((&first.train, &first.test), (&again.train, &again.test));
    assert_ne!(first.test, read(2).test);
    assert!(matches!(folder.read(FolderOptions::default().test(1.5)), Err(Error::Config { .. })));
}

#[test]
fn gray_becomes_three_equal_channels_and_colour_its_luma_where_one_is_wanted() {
    let folder = Folder::new("gray");
    folder.gray("a/1.png", [2, 3], 40);
    folder.gray("b/2.jpg", [2, 3], 90);
    folder.gray("b/3.jpg", [2, 3], 90);
    let half = FolderOptions::default().test(0.0).validation(0.0);
    // Three channels as torchvision's ImageFolder, one where that is asked for.
    let set = folder.read(half.clone()).unwrap().train;
    assert_eq!((set.channels, set.images.len()), (3, 54));
    let set = folder.read(half.clone().channels(1)).unwrap().train;
    assert_eq!((set.channels, set.images.len()), (1, 18));
    let refused = folder.read(half.clone().channels(2)).unwrap_err().to_string();
    assert_eq!(refused, "channels: of an image file can be 1 or 3, not 2");
    // Transparency goes, what is under it stays.
    RgbaImage::from_pixel(3, 2, image::Rgba([9, 8, 7, 0])).save(folder.0.path("a/3.png")).unwrap();
    let luma = folder.read(half.clone().channels(1)).unwrap();
    assert!([&luma.train, &luma.test].iter().any(|set| (0..set.len()).any(|i| set.image(i) == [8; 6])));
    let read = folder.read(half).unwrap();
    let mut first: Vec<_> = [read.train, read.test]
        .iter()
        .flat_map(|set| (0..set.len()).map(|i| set.image(i)[..3].to_vec()).collect::<Vec<_>>())
        .collect();
    first.sort();
    assert_eq!(first, [[9, 8, 7], [40, 40, 40], [90, 90, 90], [90, 90, 90]]);
}

#[test]
fn another_size_is_refused_with_both_sizes_or_resized() {
    let folder = train_and_test("size");
    folder.gray("test/ant/2.png", [5, 7], 100);
    let message = folder.fault("test/ant/2.png", FolderOptions::default());
    let first = folder.0.join("train/ant/1.png");
    let expected = format!(
        "is 7 wide and 5 high, but {} is 3 wide and 2 high: set resize to bring all to one size",
        first.display()
    );
    assert_eq!(message, expected);
    let resized = folder.read(FolderOptions::default().resize(Resize::stretch(4, 6))).unwrap();
    assert_eq!((resized.train.height, resized.train.width, resized.test.len()), (4, 6, 3));
    assert_eq!(resized.test.image(1), [100; 4 * 6 * 3]);
    let error = folder.read(FolderOptions::default().resize(Resize::stretch(4, 0))).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "resize"), "{error}");
}

#[test]
fn a_bad_file_is_named_and_skipped_only_when_asked() {
    let folder = train_and_test("bad");
    let good = fs::read(folder.0.join("train/ant/1.png")).unwrap();
    fs::write(folder.0.path("train/ant/0.jpg"), "not a picture").unwrap();
    fs::write(folder.0.path("train/zebra/cut.png"), &good[..good.len() / 2]).unwrap();
    let message = folder.fault("train/ant/0.jpg", FolderOptions::default());
    assert!(message.starts_with("is no image that can be read: "), "{message}");
    let skip = FolderOptions::default().skip_bad(true);
    let read = folder.read(skip.clone()).unwrap();
    assert_eq!((read.train.labels.as_slice(), read.test.len()), ([0, 1, 1].as_slice(), 2));
    let skipped: Vec<&Path> = (read.skipped.iter())
        .map(|error| match error {
            Error::Data { path, .. } => path.as_path(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(skipped, [folder.0.join("train/ant/0.jpg"), folder.0.join("train/zebra/cut.png")]);
    for name in ["test/ant/1.png", "test/zebra/x.png"] {
        fs::write(folder.0.path(name), "").unwrap();
    }
    assert_eq!(folder.fault("test", skip), "has no image that can be read");
}

#[test]
fn folders_without_classes_or_images_are_refused() {
    let folder = Folder::new("empty");
    let options = FolderOptions::default();
    assert!(folder.fault("", options.clone()).contains("has no folders"));
    fs::create_dir_all(folder.0.join("cats")).unwrap();
    assert!(folder.fault("cats", options.clone()).contains("a class without an image (.jpg .jpeg"));
    fs::write(folder.0.path("cats/1.png"), "").unwrap();
    let one = "has one class only, \"cats\"; at least two are needed, a folder for each";
    assert_eq!(folder.fault("", options.clone()), one);
    fs::write(folder.0.path("dogs/1.png"), "").unwrap();
    let skip = options.clone().skip_bad(true);
    assert_eq!(folder.fault("", skip.clone()), "has no image that can be read among 2 files");
    folder.colour("cats/2.png", 9);
    let message = folder.fault("dogs", skip);
    assert_eq!(message, "is the class \"dogs\", of which no image can be read; mend its files or remove it");

    let folder = train_and_test("halves");
    folder.colour("test/wolf/1.png", 3);
    assert!(
        folder
            .fault("test/wolf", options.clone())
            .contains("is a class of which there is nothing to train on; those are ant, zebra")
    );
    fs::remove_dir_all(folder.0.join("train")).unwrap();
    assert!(folder.fault("", options.clone()).contains("has test but no folder train beside it"));
    let missing = folder::read(&folder.0.join("missing"), &options);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
}

#[test]
fn augmentation_outside_its_range_is_refused() {
    let message = |augment: Augment| {
        let mut tape = Tape::new(Purpose::Train);
        let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([9, 3, 8, 8]) });
        let indices = tape.input("indices", Spec::i32([2])).unwrap();
        let op = Gather { scale: [1.0; 4], shift: [0.0; 4], augment: Some(augment) };
        tape.gather("batch", images, indices, op).unwrap_err().to_string()
    };
    for flip in [-0.1, 1.5, f32::NAN] {
        let augment = Augment { padding: 4, flip };
        assert_eq!(message(augment), format!("gather \"batch\": flip must be 0 to 1, it is {flip}"));
        let set = ImageSet::new(vec![0; 12], vec![0], ImageSize::new(2, 2, 3), 1).unwrap();
        let error =
            DatasetSource::new("set", set).augmented(augment).declare(&mut Tape::new(Purpose::Train), 1).unwrap_err();
        assert_eq!(error.to_string(), format!("augment: flip must be 0 to 1, it is {flip}"));
    }
    let augment = Augment { padding: 40_000, ..Augment::default() };
    assert_eq!(message(augment), "gather \"batch\": padding must be at most 32768, it is 40000");
}

/// Step by step as torchvision does it: pad all sides, cut out, turn round.
#[test]
fn a_crop_is_what_is_cut_out_of_the_padded_image_and_then_flipped() {
    let (height, width, padding) = (4, 5, 3);
    let augment = Augment { padding, flip: 0.5 };
    let mut padded = vec![vec![None; width + 2 * padding]; height + 2 * padding];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        padded[y + padding][x + padding] = Some([y, x]);
    }
    let mut flips = 0;
    for item in 0..200 {
        let crop = augment.crop(&draw(u64::MAX - 5, 9), item);
        flips += usize::from(crop.flip);
        for (y, line) in padded[crop.top..crop.top + height].iter().enumerate() {
            let mut line = line[crop.left..crop.left + width].to_vec();
            if crop.flip {
                line.reverse();
            }
            let sources: Vec<_> = (0..width).map(|x| crop.source([height, width], y, x)).collect();
            assert_eq!(sources, line, "{crop:?}, row {y}");
        }
    }
    assert!((60..140).contains(&flips), "{flips}");
    for (flip, expected) in [(0.0, false), (1.0, true)] {
        let augment = Augment { padding, flip };
        assert!((0..200).all(|item| augment.crop(&draw(1, 0), item).flip == expected), "probability {flip}");
    }
}

#[test]
fn many_channels_need_one_scale() {
    let mut tape = Tape::new(Purpose::Train);
    let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([9, 5, 8, 8]) });
    let indices = tape.input("indices", Spec::i32([2])).unwrap();
    let mut op = Gather { scale: [1.0; 4], shift: [0.0; 4], augment: None };
    assert!(tape.gather("batch", images, indices, op).is_ok());
    op.shift[2] = 1.0;
    assert_eq!(
        tape.gather("batch", images, indices, op).unwrap_err().to_string(),
        "gather \"batch\": scale and shift can differ among up to 4 channels, the images have 5: set all four alike"
    );
}

/// The trainer gives both sources the same random numbers, so that they train to the bit the same.
#[test]
fn resident_and_uploaded_images_are_augmented_alike_in_training() {
    let set = shapes::shapes(1, 40);
    let fit = |source: &mut dyn BatchSource| {
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(3 * 32 * 32, 10));
        let engine = CpuEngine::new();
        let options = TrainOptions::default().epochs(2).batch_size(16).seed(3);
        let mut trainer = Trainer::new(model, Sgd::new(0.01), engine, options, source).unwrap();
        let mut validation = DatasetSource::new("validation", set.clone()).augmented(Augment::default());
        let history = trainer.fit(source, &mut validation).unwrap();
        // Evaluation sees the images as they are, whatever a source does in training.
        let plain = trainer.evaluate(&mut ResidentSource::new("plain", set.clone())).unwrap();
        assert_eq!(plain.loss, history.epochs[1].validation_loss);
        history.losses
    };
    let resident = || ResidentSource::new("train", set.clone());
    let expected = fit(&mut resident().augmented(Augment::default()));
    assert_eq!(expected.len(), 6);
    assert_eq!(expected, fit(&mut DatasetSource::new("train", set.clone()).augmented(Augment::default())));
    assert_ne!(expected, fit(&mut resident()));
}

/// `--nocapture` shows how long it takes, where TILEGRAD_IMAGE_FOLDER names a folder of images.
#[test]
fn a_real_folder_of_images_is_read() {
    let Some(dir) = std::env::var_os("TILEGRAD_IMAGE_FOLDER") else { return };
    let began = std::time::Instant::now();
    let read = folder::read(Path::new(&dir), &FolderOptions::default()).unwrap();
    let (train, test) = (read.train.len(), read.test.len());
    println!("{train} and {test} images of {} classes: {:.2} s", read.train.classes, began.elapsed().as_secs_f64());
    assert!(train > 0 && test > 0);
}
