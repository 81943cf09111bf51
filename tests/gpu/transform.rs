//! Cutout, resized crop and colour jitter on the device, to the bit as the twin has them, from both sources.

use std::sync::Arc;

use tilegrad::data::{
    Augment, Augmentation, Batch, BatchSource, ColorJitter, DatasetSource, ImageSet, Normalisation, ResidentSource,
    ResizedCrop,
};
use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, RANDOM, Spec, Stage, Tape, TensorId};
use tilegrad::kernel::Choices;
use tilegrad::ops::augmentation::DRAWN;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::ops::transform::Transform;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::{Rng, draw};
use tilegrad::shape::{DType, ImageSize};
use tilegrad::train::{CpuEngine, Engine, GpuEngine, Sink};
use tilegrad::twin::Value;

use crate::check::{device, same_as_host};
use crate::common::augmentations::each;
use crate::common::cases::{Draw, uniform};

/// Smooth images with noise and with stretches of black and white, so that no step of any of them is idle.
fn images(count: usize, [channels, height, width]: [usize; 3]) -> ImageSet {
    let rng = Rng::new(count as u64, "images");
    let byte = |i: usize| {
        let (y, x) = (i / channels / width % height, i / channels % width);
        let noise = rng.words(i as u64)[0];
        match noise % 7 {
            0 => 255,
            1 => 0,
            _ => (y * 9 + x * 5 + i % channels * 40 + (noise >> 24) as usize / 4) as u8,
        }
    };
    let bytes = (0..count * channels * height * width).map(byte).collect();
    ImageSet::new(bytes, (0..count as i32).map(|i| i % 10).collect(), ImageSize::new(height, width, channels), 10)
        .unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn numbers(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|&bits| f32::from_bits(bits)).collect()
}

/// The images that an engine sees of the batches of two training steps, then of one in evaluation.
fn fed(engine: &mut dyn Engine, source: &mut dyn BatchSource, indices: &[u32]) -> [Vec<u32>; 3] {
    let mut seen = Vec::new();
    for training in [true, false] {
        let mut tape = Tape::new(if training { Purpose::Train } else { Purpose::Evaluate });
        let (input, target) = source.declare(&mut tape, indices.len()).unwrap();
        let input = tape.copy("copy", input).unwrap();
        tape.keep(input);
        // A plan has no input that nothing reads, and the source writes the labels.
        let logits = tape.input("logits", Spec::f32([indices.len(), 2])).unwrap();
        let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
        tape.keep(loss.loss);
        engine.initialise(&tape, 1).unwrap();
        source.prepare(&mut Sink::resident(engine)).unwrap();
        let program = engine.compile(tape).unwrap();
        engine.write(program, "logits", (&vec![0.0; 2 * indices.len()]).into()).unwrap();
        for step in 0..if training { 2 } else { 1 } {
            let random = draw(5, step);
            if engine.tape(program).find_input(RANDOM).is_some() {
                engine.write(program, RANDOM, (&random).into()).unwrap();
            }
            let batch = if training { Batch::train(indices, random) } else { Batch::evaluate(indices) };
            source.feed(&batch, &mut Sink::step(engine, program)).unwrap();
            engine.run(program, &[Stage::Gather, Stage::Forward]).unwrap();
            seen.push(bits(&engine.read(program, input).unwrap()));
        }
    }
    seen.try_into().unwrap()
}

/// An augmentation number `seed` for images of [channels, height, width].
fn augmentation(seed: u64, [channels, height, width]: [usize; 3]) -> Augmentation {
    let draw = Draw::new(seed, "augmentation case");
    let resized_crop = draw.coin().then(|| ResizedCrop {
        scale: [[0.08, 1.0], [0.2, 0.6], [1.0, 1.0]][draw.between(0, 2)],
        ratio: [[3.0 / 4.0, 4.0 / 3.0], [1.0, 1.0], [0.1, 0.3], [4.0, 9.0]][draw.between(0, 3)],
    });
    let colours = [1, 3].contains(&channels);
    let strength = || [0.0, 0.1, 0.4, 1.0, 6.5][if colours { draw.between(0, 4) } else { 0 }];
    Augmentation {
        padding: if resized_crop.is_some() { 0 } else { draw.between(0, 5) },
        flip: [0.0, 0.5, 1.0][draw.between(0, 2)],
        resized_crop,
        jitter: ColorJitter { brightness: strength(), contrast: strength(), saturation: strength() },
        cutout: [0, 1, 4, 7, 2 * height.max(width)][draw.between(0, 4)].min(2 * height.max(width)),
    }
}

/// Each augmentation alone and all together over 1,000 images, in colour and gray, under scales whose products round.
#[test]
fn a_thousand_images_are_the_same_to_the_bit_from_both_sources_on_both_engines() {
    let Some(device) = device() else { return };
    for channels in [3, 1] {
        let set = images(1000, [channels, 15, 17]);
        let indices: Vec<u32> = Rng::new(1, "order").permutation(1000);
        for (name, augmentation) in each() {
            let normalisation = Normalisation::IMAGENET;
            let resident = || ResidentSource::new("set", set.clone()).normalised(normalisation).augmented(augmentation);
            let uploaded = || DatasetSource::new("set", set.clone()).normalised(normalisation).augmented(augmentation);
            let expected = fed(&mut CpuEngine::new(), &mut resident(), &indices);
            let label = format!("{name}, {channels} channels");
            // One pixel of each image at least; saturation has nothing to do with gray.
            if channels == 3 || name != "saturation" {
                assert_ne!(expected[0], expected[1], "{label}: two steps");
            }
            let same = |seen: [Vec<u32>; 3], what: &str| {
                for (actual, expected) in seen.iter().zip(&expected) {
                    same_as_host(device, &numbers(actual), &numbers(expected), &format!("{label}: {what}"));
                }
            };
            same(fed(&mut GpuEngine::new(device.clone()), &mut resident(), &indices), "device");
            assert!(fed(&mut CpuEngine::new(), &mut uploaded(), &indices) == expected, "{label}: uploaded");
            same(fed(&mut GpuEngine::new(device.clone()), &mut uploaded(), &indices), "uploaded to the device");
            let plain = ResidentSource::new("set", set.clone()).normalised(normalisation);
            let plain = fed(&mut CpuEngine::new(), &mut { plain }, &indices);
            assert!(plain[2] == expected[2], "{label}: evaluation sees the images as they are");
        }
    }
}

/// A data set, a transform of it, and a batch with its draws.
#[derive(Debug)]
struct Case {
    /// [count, C, H, W].
    images: [usize; 4],
    op: Transform,
    indices: Vec<i32>,
    draws: Vec<i32>,
}

impl Case {
    /// The attribute set number `seed`; images from one pixel on, of one channel to five.
    fn random(seed: u64) -> Self {
        let draw_case = Draw::new(seed, "transform case");
        let extents = [draw_case.between(1, 5), draw_case.between(1, 14), draw_case.between(1, 14)];
        let images = [draw_case.between(1, 9), extents[0], extents[1], extents[2]];
        let augmentation = augmentation(seed, extents);
        let four = |name: &str, by: f32| -> [f32; 4] {
            let values = uniform(seed, name, 4);
            [0, 1, 2, 3].map(|i| values[if extents[0] > 4 { 0 } else { i }] * by)
        };
        let op = Transform { scale: four("scale", 1.0 / 60.0), shift: four("shift", 2.0), augmentation };
        let indices: Vec<i32> =
            (0..draw_case.between(1, 7)).map(|_| draw_case.between(0, images[0] - 1) as i32).collect();
        let draws = indices.iter().enumerate().flat_map(|(step, &item)| {
            augmentation.draw(&draw(seed, step as u32), item as u32, [extents[1], extents[2]]).words()
        });
        Case { images, op, draws: draws.collect(), indices }
    }

    fn bytes(&self) -> Vec<u8> {
        let [count, channels, height, width] = self.images;
        images(count, [channels, height, width]).images.to_vec()
    }

    fn tape(&self) -> (Tape, TensorId) {
        let mut tape = Tape::new(Purpose::Train);
        let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32(self.images) });
        let indices = tape.input("indices", Spec::i32([self.indices.len()])).unwrap();
        let draws = tape.input("draws", Spec::i32([self.indices.len(), DRAWN])).unwrap();
        let batch = tape.transform("batch", images, indices, draws, self.op).unwrap();
        tape.keep(batch);
        (tape, batch)
    }

    fn by_twin(&self) -> Vec<f32> {
        let (tape, batch) = self.tape();
        let mut program = Program::<f32>::new(Arc::new(tape));
        let mut store = HostStore::default();
        store.set("images", Value::Bytes(self.bytes().into()));
        program.write("indices", Value::Int(self.indices.clone())).unwrap();
        program.write("draws", Value::Int(self.draws.clone())).unwrap();
        program.run(&mut store, &[Stage::Forward]).unwrap();
        program.read(batch).unwrap().real().to_vec()
    }

    fn by_kernel(&self, device: &Device, checked: bool) -> Vec<f32> {
        let (tape, batch) = self.tape();
        let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
        let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
        let image: usize = self.images[1..].iter().product();
        let mut padded = Vec::new();
        for bytes in self.bytes().chunks(image) {
            padded.extend_from_slice(bytes);
            padded.resize(padded.len().next_multiple_of(4), 255);
        }
        store.set_resident("images", self.images[0], &padded).unwrap();
        let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
        let mut session =
            Session::new(&store, Arc::new(plan), SessionOptions::default().checked(checked).guarded(true)).unwrap();
        session.poison();
        session.write("indices", &self.indices).unwrap();
        session.write("draws", &self.draws).unwrap();
        session.step().unwrap();
        assert_eq!(session.breach().unwrap(), None, "{self:?}");
        session.read_f32(batch).unwrap()
    }
}

#[test]
fn the_kernels_of_transform_do_what_the_twin_does() {
    let Some(device) = device() else { return };
    for seed in 0..150 {
        let case = Case::random(seed);
        let expected = bits(&case.by_twin());
        for checked in [true, false] {
            assert_eq!(bits(&case.by_kernel(device, checked)), expected, "seed {seed}, checked {checked}, {case:?}");
        }
    }
}

/// Numbers that no host draws lead nowhere: in trusted kernels nothing else keeps them inside.
#[test]
fn draws_that_are_none_stay_inside_the_image() {
    let Some(device) = device() else { return };
    for seed in 0..40 {
        let mut case = Case::random(seed);
        let rng = Rng::new(seed, "nonsense");
        for (i, word) in case.draws.iter_mut().enumerate() {
            *word = [0, i32::MIN, i32::MAX, -1, rng.words(i as u64)[0] as i32][rng.below(i as u64, 5) as usize];
        }
        assert!(case.by_kernel(device, false).iter().all(|value| value.is_finite()), "seed {seed}, {case:?}");
    }
}

/// With crop and flip alone the other operation takes over, and both agree where no product is rounded.
#[test]
fn crop_and_flip_are_those_of_gather() {
    let Some(device) = device() else { return };
    let set = images(40, [3, 9, 8]);
    let normalisation = Normalisation { scale: [0.25; 4], shift: [-3.0; 4] };
    let indices: Vec<u32> = (0..40).collect();
    let seen = |augmentation: Augmentation| {
        let mut source = ResidentSource::new("set", set.clone()).normalised(normalisation).augmented(augmentation);
        fed(&mut GpuEngine::new(device.clone()), &mut source, &indices)
    };
    let crop = Augment { padding: 3, flip: 0.5 };
    // A jitter that is too small to draw anything but a factor of 1 makes it a transform.
    let jitter = ColorJitter { saturation: 1e-6, ..Default::default() };
    assert_eq!(seen(crop.into()), seen(Augmentation { jitter, ..crop.into() }));
}

#[test]
fn a_data_set_in_pieces_is_transformed_too() {
    let Some(device) = device() else { return };
    // 700 images of 256 x 256 x 3 bytes are 138 MB, more than lavapipe's 128 MiB.
    let (count, extent) = (700, 256 * 256 * 3);
    let bytes: Vec<u8> = (0..count * extent).map(|i| (i / extent * 31 + i % 251) as u8).collect();
    let set = ImageSet::new(bytes, vec![0; count], ImageSize::new(256, 256, 3), 1).unwrap();
    let (_, augmentation) = each().pop().unwrap();
    let indices = [699, 0, 640, 682, 5];
    let fed = |engine: &mut dyn Engine, source: &mut dyn BatchSource| fed(engine, source, &indices);
    let resident = fed(
        &mut GpuEngine::new(device.clone()),
        &mut ResidentSource::new("large", set.clone()).augmented(augmentation),
    );
    let uploaded = fed(&mut CpuEngine::new(), &mut DatasetSource::new("large", set).augmented(augmentation));
    assert!(resident == uploaded);
}
