//! Batches: gathered from a resident data set, whole or in pieces, and uploaded; both the same numbers.

use std::sync::Arc;

use tilegrad::data::{Batch, BatchSource, DatasetSource, ImageSet, ResidentSource, synthetic};
use tilegrad::gpu::{Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Tape, TensorId};
use tilegrad::kernel::Choices;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Rng;
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, Engine, GpuEngine, Sink};

use crate::check::device;

/// Images of odd size in colour, so that no image ends at a whole word.
fn colour(count: usize) -> ImageSet {
    let bytes = Rng::new(5, "pixels");
    let images = (0..count as u64 * 5 * 3 * 3).map(|i| bytes.words(i)[0] as u8).collect();
    let labels = (0..count).map(|i| (i * 7 % 10) as i32).collect();
    ImageSet::new(images, labels, ImageSize::new(5, 3, 3), 10).unwrap()
}

/// The images and labels that an engine sees for a batch.
fn batch(engine: &mut dyn Engine, source: &mut dyn BatchSource, indices: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let mut tape = Tape::new(Purpose::Evaluate);
    let (input, target) = source.declare(&mut tape, indices.len()).unwrap();
    let input = tape.activation("copy", tilegrad::ops::activation::Activation::Relu, input).unwrap();
    tape.keep(input);
    // Labels are integers; a loss over logits that are 0 but in one column says what they are.
    let logits = tape.input("logits", tilegrad::graph::Spec::f32([indices.len(), 10])).unwrap();
    let op = tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy::default();
    tape.softmax_cross_entropy("loss", logits, target, None, op).unwrap();
    let rows: TensorId = tape.nodes().last().unwrap().outputs[1];
    tape.keep(rows);
    engine.initialise(&tape, 1).unwrap();
    source.prepare(&mut Sink::resident(engine)).unwrap();
    let program = engine.compile(tape).unwrap();
    source.feed(&Batch::evaluate(indices), &mut Sink::step(engine, program)).unwrap();
    let logits: Vec<f32> = (0..indices.len() * 10).map(|i| (i % 10) as f32).collect();
    engine.write(program, "logits", (&logits).into()).unwrap();
    use tilegrad::graph::Stage::{Forward, Gather};
    engine.run(program, &[Gather, Forward]).unwrap();
    (engine.read(program, input).unwrap(), engine.read(program, rows).unwrap())
}

#[test]
fn resident_and_uploaded_batches_are_the_same_on_both_engines() {
    let Some(device) = device() else { return };
    let indices = [11, 0, 3, 3, 19];
    for set in [colour(20), synthetic::digits(1, 20)] {
        let resident = || ResidentSource::new("set", set.clone());
        let uploaded = || DatasetSource::new("set", set.clone());
        let expected = batch(&mut CpuEngine::new(), &mut resident(), &indices);
        // Each image in PyTorch's order, a channel after the other.
        let (channels, pixels) = (set.channels, set.height * set.width);
        let byte = set.image(11)[pixels / 2 * channels + channels - 1];
        assert_eq!(expected.0[(channels - 1) * pixels + pixels / 2], f32::from(byte) * (1.0 / 255.0));
        assert_eq!(expected, batch(&mut CpuEngine::new(), &mut uploaded(), &indices));
        let on_device = batch(&mut GpuEngine::new(device.clone()), &mut resident(), &indices);
        assert_eq!(expected.0, on_device.0);
        for (a, b) in expected.1.iter().zip(&on_device.1) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
        let sent = batch(&mut GpuEngine::new(device.clone()), &mut uploaded(), &indices);
        assert_eq!(expected.0, sent.0);
        assert_eq!(on_device.1, sent.1);
    }
}

#[test]
fn a_data_set_larger_than_a_binding_is_gathered_piece_by_piece() {
    let Some(device) = device() else { return };
    // 300 images of 256 x 256 x 8 bytes are 157 MB, more than lavapipe's 128 MiB.
    let (count, extent) = (300, 256 * 256 * 8);
    let images: Vec<u8> = (0..count * extent).map(|i| (i / extent * 31 + i % 251) as u8).collect();
    let set =
        ImageSet::new(images, (0..count as i32).map(|i| i % 10).collect(), ImageSize::new(256, 256, 8), 10).unwrap();
    if device.caps().max_binding > (count * extent) as u64 {
        eprintln!("one binding holds it all: the pieces are tested where bindings end at 128 MiB");
    }
    let mut source = ResidentSource::new("large", set.clone());
    let indices = [299, 0, 255, 256, 150];
    let (images, _) = batch(&mut GpuEngine::new(device.clone()), &mut source, &indices);
    for (slot, &index) in indices.iter().enumerate() {
        for place in [0, 1, 77_777, extent - 1] {
            let (channel, pixel) = (place % 8, place / 8);
            let expected = f32::from(set.image(index as usize)[place]) * (1.0 / 255.0);
            assert_eq!(images[slot * extent + channel * 65_536 + pixel], expected, "image {index}, byte {place}");
        }
    }
}

#[test]
fn an_image_that_is_not_there_is_an_error() {
    if device().is_none() {
        return;
    }
    let mut source = ResidentSource::new("set", colour(4));
    let mut engine = CpuEngine::new();
    let error = source.feed(&Batch::evaluate(&[4]), &mut Sink::resident(&mut engine)).unwrap_err().to_string();
    assert!(error.contains("image 4 of a data set of 4"), "{error}");
}

#[test]
fn a_ring_that_is_filled_faster_than_it_is_used_keeps_the_last() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", tilegrad::graph::Spec::f32([4, 4])).unwrap();
    let output = tape.relu("relu", input).unwrap();
    tape.keep(output);
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();
    for round in 0..10 {
        for i in 0..=round % 3 {
            session.upload("input", &[(round * 10 + i) as f32; 16]).unwrap();
        }
        session.step().unwrap();
        assert_eq!(session.read_f32(output).unwrap(), [(round * 10 + round % 3) as f32; 16]);
    }
}
