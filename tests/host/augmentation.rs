//! Cutout, resized crop and colour jitter: what is drawn has the distributions that it should, what is done with it is
//! torchvision's, and settings that make no sense are refused by name.

use std::sync::Arc;

use serde_json::Value as Json;
use tilegrad::data::{
    Augment, Augmentation, BatchSource, ColorJitter, DatasetSource, ImageSet, ResidentSource, ResizedCrop, shapes,
};
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::ops::augmentation::{DRAWN, Drawn};
use tilegrad::ops::mixup::Mixup;
use tilegrad::ops::transform::Transform;
use tilegrad::optim::Sgd;
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::{Rng, draw};
use tilegrad::shape::{DType, ImageSize};
use tilegrad::train::{CpuEngine, TrainOptions, Trainer};
use tilegrad::twin::Value;

use crate::common::augmentations::each;
use crate::common::golden::{cases, float, floats, sizes};
use crate::distributions::{DRAWS, assert_distributed, assert_even, histogram, mean_and_deviation};

/// What `augmentation` draws for many images of [height, width], some in one step, some in others.
fn drawn(augmentation: &Augmentation, extents: [usize; 2]) -> Vec<Drawn> {
    (0..DRAWS).map(|i| augmentation.draw(&draw(9, i % 100), i / 100 * 7, extents)).collect()
}

#[test]
fn crops_and_flips_are_even_and_those_of_the_kernel_that_draws_itself() {
    let augment = Augment { padding: 4, flip: 0.5 };
    let augmentation = Augmentation { cutout: 8, ..augment.into() };
    let all = drawn(&augmentation, [32, 32]);
    let corner = |d: &Drawn| (d.top + 4) as usize * 9 + (d.left + 4) as usize;
    assert_even("corners", &histogram(81, all.iter().map(corner)));
    assert_even("flips", &histogram(2, all.iter().map(|d| d.flip as usize)));
    // Nothing drawn says anything of the rest.
    assert_even("flips by row", &histogram(18, all.iter().map(|d| (d.top + 4) as usize * 2 + d.flip as usize)));
    let square = |d: &Drawn| (d.cutout_top + 4) as usize / 8 * 2 + d.flip as usize;
    assert_even("flips by square", &histogram(8, all.iter().map(square)));
    for item in 0..200 {
        let random = draw(item.into(), 3);
        let (crop, drawn) = (augment.crop(&random, item), augmentation.draw(&random, item, [32, 32]));
        let expected = (crop.top as i32 - 4, crop.left as i32 - 4, 32, 32, i32::from(crop.flip));
        assert_eq!((drawn.top, drawn.left, drawn.height, drawn.width, drawn.flip), expected);
    }
    let quarter = Augmentation { flip: 0.25, ..augmentation };
    let flips = drawn_flips(&quarter);
    assert!((9_480..10_520).contains(&flips), "a quarter of {DRAWS}: {flips}");
}

fn drawn_flips(augmentation: &Augmentation) -> i32 {
    drawn(augmentation, [32, 32]).iter().map(|drawn| drawn.flip).sum()
}

#[test]
fn squares_are_centred_on_every_pixel_alike() {
    let all = drawn(&Augmentation { cutout: 5, ..Augmentation::default() }, [7, 11]);
    let centre = |d: &Drawn| (d.cutout_top + 2) as usize * 11 + (d.cutout_left + 2) as usize;
    assert_even("centres", &histogram(77, all.iter().map(centre)));
}

#[test]
fn factors_are_even_in_their_ranges() {
    let jitter = ColorJitter { brightness: 0.4, contrast: 1.0, saturation: 2.5 };
    let all = drawn(&Augmentation { jitter, ..Augmentation::default() }, [8, 8]);
    let numbers = |of: fn(&Drawn) -> i32| all.iter().map(|drawn| f64::from(of(drawn)) / 4096.0).collect::<Vec<_>>();
    for (name, low, high, numbers) in [
        ("brightness", 0.6, 1.4, numbers(|d| d.brightness)),
        ("contrast", 0.0, 2.0, numbers(|d| d.contrast)),
        ("saturation", 0.0, 3.5, numbers(|d| d.saturation)),
    ] {
        assert_distributed(name, numbers, |x| ((x - low) / (high - low)).clamp(0.0, 1.0));
    }
    let high = |factor: i32, middle: i32| usize::from(factor > middle);
    let all_three =
        |d: &Drawn| high(d.brightness, 4096) * 4 + high(d.contrast, 4096) * 2 + high(d.saturation, 4096 * 7 / 4);
    assert_even("one factor by the others", &histogram(8, all.iter().map(all_three)));
    assert!(drawn(&Augmentation::default(), [8, 8]).iter().all(|d| d.brightness == 4096 && d.contrast == 4096));
}

#[test]
fn boxes_have_areas_and_ratios_evenly_in_their_ranges() {
    // Boxes that always fit, so that nothing is drawn again, and so large that whole pixels hardly matter.
    let resized_crop = Some(ResizedCrop { scale: [0.1, 0.4], ratio: [0.5, 2.0] });
    let all = drawn(&Augmentation { resized_crop, ..Augmentation::default() }, [3000, 3000]);
    let areas = all.iter().map(|d| f64::from(d.height) * f64::from(d.width) / 9e6).collect();
    assert_distributed("areas", areas, |x| ((x - 0.1) / 0.3).clamp(0.0, 1.0));
    let ratios = all.iter().map(|d| (f64::from(d.width) / f64::from(d.height)).ln()).collect();
    let two = 2_f64.ln();
    assert_distributed("ratios", ratios, |x| ((x + two) / (2.0 * two)).clamp(0.0, 1.0));
    // A corner is anywhere where the box still fits.
    for (name, place) in [
        ("rows", (|d: &Drawn| (d.top, 3000 - d.height)) as fn(&Drawn) -> (i32, i32)),
        ("columns", |d| (d.left, 3000 - d.width)),
    ] {
        let share = |d: &Drawn| (f64::from(place(d).0) + 0.5) / f64::from(place(d).1 + 1);
        assert_distributed(name, all.iter().map(share).collect(), |x| x.clamp(0.0, 1.0));
    }
}

/// Where boxes are drawn again, or never fit: moments of as many of torchvision's own draws.
#[test]
fn boxes_are_those_of_torchvision() {
    for case in cases("transforms").iter().filter(|case| case.json.get("shares").is_some()) {
        let json = &case.json;
        let two = |x: &str| -> [f64; 2] { floats(&json[x]).try_into().unwrap() };
        let extents: [usize; 2] = sizes(&json["image"]).try_into().unwrap();
        let resized_crop = Some(ResizedCrop { scale: two("scale"), ratio: two("ratio") });
        let all = drawn(&Augmentation { resized_crop, ..Augmentation::default() }, extents);
        let [height, width] = extents.map(|extent| extent as f64);
        for (name, number) in [
            ("area", (&|d: &Drawn| f64::from(d.height * d.width) / (height * width)) as &dyn Fn(&Drawn) -> f64),
            ("aspect", &|d| (f64::from(d.width) / f64::from(d.height)).ln()),
            ("centre", &|d| (f64::from(d.top) + f64::from(d.height) / 2.0) / height),
        ] {
            let numbers: Vec<f64> = all.iter().map(number).collect();
            let ([mean, deviation], [mean_there, deviation_there]) = (mean_and_deviation(&numbers), two(name));
            // Six standard deviations of the difference of two means; a deviation varies less than a mean.
            let room = 6.0 * deviation_there * (2.0 / f64::from(DRAWS)).sqrt() + 1e-8;
            let label = format!("{}, {name}", case.name);
            assert!((mean - mean_there).abs() < room, "{label}: mean {mean}, torchvision {mean_there}");
            assert!((deviation - deviation_there).abs() < room, "{label}: {deviation}, torchvision {deviation_there}");
        }
        let whole = all.iter().filter(|d| d.height as usize == extents[0]).count() as f64 / f64::from(DRAWS);
        let there = float(&json["whole"]);
        assert!((whole - there).abs() < 6.0 * (2.0 * there / f64::from(DRAWS)).sqrt() + 1e-9, "{}: {whole}", case.name);
        for d in all {
            let fits = |begin: i32, extent: i32, of: usize| begin >= 0 && extent > 0 && (begin + extent) as usize <= of;
            assert!(fits(d.top, d.height, extents[0]) && fits(d.left, d.width, extents[1]), "{}: {d:?}", case.name);
        }
    }
}

/// What a transform makes of one image, [C, H, W], of its bytes [H, W, C].
fn transformed(bytes: &[u8], [c, h, w]: [usize; 3], op: Transform, drawn: Drawn) -> Vec<f32> {
    let mut tape = Tape::new(Purpose::Train);
    let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([1, c, h, w]) });
    let indices = tape.input("indices", Spec::i32([1])).unwrap();
    let draws = tape.input("draws", Spec::i32([1, DRAWN])).unwrap();
    let output = tape.transform("transform", images, indices, draws, op).unwrap();
    let mut program = Program::<f32>::new(Arc::new(tape));
    let mut store = HostStore::default();
    store.set("images", Value::Bytes(bytes.to_vec().into()));
    program.write("indices", Value::Int(vec![0])).unwrap();
    program.write("draws", Value::Int(drawn.words().to_vec())).unwrap();
    program.run(&mut store, &[Stage::Forward]).unwrap();
    program.read(output).unwrap().real().to_vec()
}

/// Box, flip and colours as torchvision's functions make them of float images, which round less: pixels are 16ths of a byte
/// here, and a factor enlarges what has been rounded before.
#[test]
fn transforms_are_torchvisions() {
    let mut seen = 0;
    for case in cases("transforms").iter().filter(|case| case.json.get("output").is_some()) {
        let json = &case.json;
        let ints =
            |json: &Json| -> Vec<i32> { json.as_array().unwrap().iter().map(|v| v.as_i64().unwrap() as i32).collect() };
        let extents: [usize; 3] = sizes(&json["image"]).try_into().unwrap();
        let rng = Rng::new(1, &format!("transforms/{}/bytes", case.name));
        let bytes: Vec<u8> = (0..extents.iter().product::<usize>() as u64).map(|i| rng.words(i)[0] as u8).collect();
        let (place, factors, flip) = (ints(&json["box"]), ints(&json["factors"]), json["flip"].as_bool().unwrap());
        let resized = place[2..] != [extents[1] as i32, extents[2] as i32];
        let jitter = |i: usize| if factors[i] == 4096 { 0.0 } else { 0.5 };
        let augmentation = Augmentation {
            padding: if resized { 0 } else { json["padding"].as_u64().unwrap() as usize },
            resized_crop: resized.then(ResizedCrop::default),
            jitter: ColorJitter { brightness: jitter(0), contrast: jitter(1), saturation: jitter(2) },
            ..Augmentation::default()
        };
        let words = [&place[..], &[i32::from(flip)], &factors[..], &[0, 0]].concat();
        let op = Transform { scale: [1.0; 4], shift: [0.0; 4], augmentation, output: None };
        let actual = transformed(&bytes, extents, op, Drawn::from_words(&words));
        let expected = floats(&json["output"]["values"]);
        assert_eq!(actual.len(), expected.len(), "{}", case.name);
        let room = if augmentation.jitter != ColorJitter::default() { 0.4 } else { 0.1 };
        for (i, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
            let apart = (f64::from(actual) - expected).abs();
            assert!(apart <= room, "{}: element {i} is {actual}, torchvision has {expected}", case.name);
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen} cases");
}

#[test]
fn a_square_is_zero_after_the_normalisation_and_cut_off_at_the_border() {
    let op = Transform {
        scale: [0.5, 1.0, 2.0, 2.0],
        shift: [7.0; 4],
        augmentation: Augmentation { cutout: 3, ..Augmentation::default() },
        output: None,
    };
    let bytes: Vec<u8> = (0..5 * 4 * 3).collect();
    for (top, left) in [(1, 0), (-1, 2), (3, -2), (4, 3)] {
        let words = [0, 0, 5, 4, 0, 4096, 4096, 4096, top, left];
        let output = transformed(&bytes, [3, 5, 4], op, Drawn::from_words(&words));
        for (i, &value) in output.iter().enumerate() {
            let (channel, y, x) = (i / 20, (i / 4 % 5) as i32, (i % 4) as i32);
            let cut = (top..top + 3).contains(&y) && (left..left + 3).contains(&x);
            let byte = f32::from(bytes[(i % 20) * 3 + channel]);
            let expected = if cut { 0.0 } else { byte * op.scale[channel] + 7.0 };
            assert_eq!(value, expected, "square at {top}, {left}: {channel} {y} {x}");
        }
    }
    // The centre is drawn, and the square of an even side lies around it as in the paper's code.
    let drawn = op.augmentation.draw(&draw(1, 2), 3, [1, 1]);
    assert_eq!((drawn.cutout_top, drawn.cutout_left), (-1, -1));
    let even = Augmentation { cutout: 8, ..Augmentation::default() };
    assert_eq!(even.draw(&draw(1, 2), 3, [1, 1]).cutout_top, -4);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let none = Augmentation::default();
    let resized = |scale, ratio| Augmentation { resized_crop: Some(ResizedCrop { scale, ratio }), ..none };
    let usual = ResizedCrop::default();
    let brightness = |brightness| Augmentation { jitter: ColorJitter { brightness, ..ColorJitter::default() }, ..none };
    let contrast = Augmentation { jitter: ColorJitter { contrast: 0.1, ..ColorJitter::default() }, ..none };
    let saturation = Augmentation { jitter: ColorJitter { saturation: -1.0, ..ColorJitter::default() }, ..none };
    let of = |augmentation: Augmentation, [c, h, w]: [usize; 3]| {
        let set = ImageSet::new(vec![0; c * h * w], vec![0], ImageSize::new(h, w, c), 1).unwrap();
        let uploaded =
            DatasetSource::new("set", set.clone()).augmented(augmentation).declare(&mut Tape::new(Purpose::Train), 1);
        let resident =
            ResidentSource::new("set", set).augmented(augmentation).declare(&mut Tape::new(Purpose::Train), 1);
        let [uploaded, resident] = [uploaded, resident].map(|declared| declared.unwrap_err().to_string());
        let message = uploaded.strip_prefix("augment: ").unwrap().to_string();
        assert_eq!(resident.split_once("\": ").unwrap().1, message);
        message
    };
    let small = [3, 4, 4];
    for (augmentation, extents, expected) in [
        (Augmentation { flip: 1.5, cutout: 2, ..none }, small, "flip must be 0 to 1, it is 1.5"),
        (Augmentation { padding: 40_000, cutout: 2, ..none }, small, "padding must be at most 32768, it is 40000"),
        (Augmentation { cutout: 9, ..none }, small, "cutout must be at most twice the image's extents 4x4, it is 9"),
        (
            Augmentation { padding: 1, resized_crop: Some(usual), ..none },
            small,
            "padding must be 0 beside resized_crop, it is 1",
        ),
        (
            resized([0.0, 1.0], usual.ratio),
            small,
            "scale must be two rising numbers above 0, up to 1, it is [0.0, 1.0]",
        ),
        (
            resized([0.5, 0.4], usual.ratio),
            small,
            "scale must be two rising numbers above 0, up to 1, it is [0.5, 0.4]",
        ),
        (
            resized([0.5, 1.1], usual.ratio),
            small,
            "scale must be two rising numbers above 0, up to 1, it is [0.5, 1.1]",
        ),
        (
            resized([f64::NAN, 1.0], usual.ratio),
            small,
            "scale must be two rising numbers above 0, up to 1, it is [NaN, 1.0]",
        ),
        (resized(usual.scale, [0.0, 1.0]), small, "ratio must be two rising numbers above 0, it is [0.0, 1.0]"),
        (resized(usual.scale, [2.0, 1.0]), small, "ratio must be two rising numbers above 0, it is [2.0, 1.0]"),
        (
            resized(usual.scale, [1.0, f64::INFINITY]),
            small,
            "ratio must be two rising numbers above 0, it is [1.0, inf]",
        ),
        (
            resized(usual.scale, usual.ratio),
            [1, 1, 40_000],
            "resized_crop needs images of at most 32768 pixels each way, they are 1x40000",
        ),
        (brightness(-0.1), small, "brightness must be 0 to 7, it is -0.1"),
        (brightness(7.5), small, "brightness must be 0 to 7, it is 7.5"),
        (brightness(f32::NAN), small, "brightness must be 0 to 7, it is NaN"),
        (brightness(0.1), [4, 4, 4], "brightness needs images of 1 or 3 channels, they have 4"),
        (saturation, small, "saturation must be 0 to 7, it is -1"),
        (contrast, [1, 1025, 1024], "contrast needs images of at most 1048576 pixels, they are 1025x1024"),
    ] {
        assert_eq!(of(augmentation, extents), expected);
    }
    for (name, augmentation) in each() {
        assert_eq!(augmentation.check([3, 32, 32]), Ok(()), "{name}");
    }
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let message = Mixup { alpha }.check().unwrap_err().to_string();
        assert_eq!(message, format!("mixup: alpha must be above 0, it is {alpha}"));
    }
}

/// The trainer gives both sources the same random numbers, so that they train to the bit the same.
#[test]
fn resident_and_uploaded_images_train_alike() {
    let set = shapes::shapes(1, 40);
    let fit = |source: &mut dyn BatchSource| {
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(3 * 32 * 32, 10));
        let engine = CpuEngine::new();
        let options = TrainOptions::default().epochs(2).batch_size(16).seed(3);
        let mut trainer = Trainer::new(model, Sgd::new(0.01), engine, options, source).unwrap();
        let mut validation = DatasetSource::new("validation", set.clone()).augmented(each()[7].1);
        let history = trainer.fit(source, &mut validation).unwrap();
        let plain = trainer.evaluate(&mut ResidentSource::new("plain", set.clone())).unwrap();
        assert_eq!(plain.loss, history.epochs[1].validation_loss, "evaluation sees the images as they are");
        history.losses
    };
    let resident = || ResidentSource::new("train", set.clone());
    for (name, augmentation) in each() {
        let expected = fit(&mut resident().augmented(augmentation));
        assert_eq!(expected, fit(&mut DatasetSource::new("train", set.clone()).augmented(augmentation)), "{name}");
        assert_ne!(expected, fit(&mut resident()), "{name}");
    }
}
