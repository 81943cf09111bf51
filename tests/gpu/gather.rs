//! Random numbers on the device, and the batch that is cropped and flipped by them.

use std::sync::Arc;

use tilegrad::data::{Augment, Batch, BatchSource, DatasetSource, ImageSet, Normalisation, ResidentSource};
use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Misfit, Operation, Purpose, RANDOM, Spec, Stage, Tape, Tensor, TensorId};
use tilegrad::kernel::{Choices, Dispatch, Extent, Kernel, Lowering, Source};
use tilegrad::ops::gather::Gather;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::{Rng, draw, philox};
use tilegrad::shape::{DType, ImageSize};
use tilegrad::train::{CpuEngine, Engine, GpuEngine, Sink};
use tilegrad::twin::{Inputs, Outputs, Real, Twin, Value};

use crate::check::{Case, Tolerance, check_op, device};

/// The words of [`philox`] for rows of counter and key: input i32 [N, 6], output i32 [N, 4].
#[derive(Debug)]
struct Philox;

/// One invocation owns one row.
const KERNEL: &str = "
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let i = id.x * 6;
    let words = philox(vec4u(input[i], input[i + 1], input[i + 2], input[i + 3]), vec2u(input[i + 4], input[i + 5]));
    for (var k = 0u; k < 4u; k++) { output[id.x * 4 + k] = words[k]; }
}";

tilegrad::params! {
    /// What the kernel is told.
    struct Params { rows: u32 }
}

impl Operation for Philox {
    fn name(&self) -> &'static str {
        "philox"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::i32([inputs[0].shape.dims()[0], 4])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> tilegrad::Result<()> {
        let rows = lowering.output_len(0) / 4;
        let library = Source::new("philox.wgsl", include_str!("../../shaders/lib/philox.wgsl"));
        let kernel = Kernel::new("philox", &[Source::new("test", KERNEL), library]);
        let (input, output) = (lowering.input(0), lowering.output(0));
        lowering.push(
            Dispatch::new(kernel, &Params { rows: rows as u32 }, Extent::Invocations(rows))
                .bind("input", input)
                .bind("output", output),
        );
        Ok(())
    }
}

impl Twin for Philox {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (words, row) in outputs.ints(0).chunks_mut(4).zip(inputs.ints(0).chunks(6)) {
            let word = |i: usize| row[i] as u32;
            let drawn = philox([0, 1, 2, 3].map(word), [word(4), word(5)]);
            words.copy_from_slice(&drawn.map(|word| word as i32));
        }
    }
}

#[test]
fn the_device_draws_the_words_of_the_host() {
    let Some(device) = device() else { return };
    let rng = Rng::new(3, "counters");
    let mut rows: Vec<i32> = (0..2000).flat_map(|i| rng.words(i)).map(|word| word as i32).collect();
    // Edges of the carries: all bits, the highest, the lowest, halves.
    for word in [0, 1, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_0000, u32::MAX] {
        rows.extend([word as i32; 6]);
    }
    rows.truncate(rows.len() / 6 * 6);
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::i32([rows.len() / 6, 6])).unwrap();
    let output = tape.append("philox", Philox, &[input], &[]).unwrap()[0];
    let inputs = vec![("input", Value::Int(rows))];
    check_op(device, Case { label: "philox".into(), tape, inputs, outputs: vec![(output, Tolerance::Exact)] });
}

/// A data set, how it is gathered, and the batches asked for, each with its step's random numbers.
#[derive(Debug)]
struct Batches {
    /// [count, C, H, W].
    images: [usize; 4],
    op: Gather,
    batches: Vec<(Vec<i32>, [i32; 4])>,
}

impl Batches {
    /// The attribute set number `seed`. Scales and shifts have few bits, so that no product is rounded and devices that
    /// multiply and add in one go get the same.
    fn random(seed: u64) -> Self {
        let rng = Rng::new(seed, "augmented batches");
        let between = |i: u64, low: u32, high: u32| (low + rng.below(i, high - low + 1)) as usize;
        let images = [between(0, 1, 9), between(1, 1, 4), between(2, 1, 11), between(3, 1, 11)];
        let four = |first: u64, unit: f32| [0, 1, 2, 3].map(|i| (between(first + i, 0, 200) as f32 - 100.0) * unit);
        let augment = Augment { padding: between(12, 0, 6), flip: [0.0, 0.25, 0.5, 1.0][between(13, 0, 3)] };
        let op = Gather {
            scale: four(4, 1.0 / 4096.0),
            shift: four(8, 1.0 / 64.0),
            augment: (between(14, 0, 9) > 0).then_some(augment),
        };
        let size = between(15, 1, 7) as u64;
        let batch = |step: u64| {
            let index = |i: u64| rng.below(100 + 10 * step + i, images[0] as u32) as i32;
            ((0..size).map(index).collect(), draw(rng.words(20)[0].into(), 7 * step as u32))
        };
        Batches { images, op, batches: (0..2).map(batch).collect() }
    }

    /// Images with bytes at random.
    fn bytes(&self) -> Vec<u8> {
        let rng = Rng::new(self.images[0] as u64, "bytes");
        (0..self.images.iter().product::<usize>() as u64).map(|i| rng.words(i)[0] as u8).collect()
    }

    fn tape(&self) -> (Tape, TensorId) {
        let mut tape = Tape::new(Purpose::Train);
        let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32(self.images) });
        let indices = tape.input("indices", Spec::i32([self.batches[0].0.len()])).unwrap();
        let batch = tape.gather("batch", images, indices, self.op).unwrap();
        tape.keep(batch);
        (tape, batch)
    }

    /// What the twin makes of it, batch by batch.
    fn by_twin(&self) -> Vec<Vec<f32>> {
        let (tape, batch) = self.tape();
        let augmented = tape.find_input(RANDOM).is_some();
        let mut program = Program::<f32>::new(Arc::new(tape));
        let mut store = HostStore::default();
        store.set("images", Value::Bytes(self.bytes().into()));
        let run = |(indices, random): &(Vec<i32>, [i32; 4])| {
            program.write("indices", Value::Int(indices.clone())).unwrap();
            if augmented {
                program.write(RANDOM, Value::Int(random.to_vec())).unwrap();
            }
            program.run(&mut store, &[Stage::Forward]).unwrap();
            program.read(batch).unwrap().real().to_vec()
        };
        self.batches.iter().map(run).collect()
    }

    /// What the device makes of it.
    fn by_kernel(&self, device: &Device, checked: bool) -> Vec<Vec<f32>> {
        let (tape, batch) = self.tape();
        let augmented = tape.find_input(RANDOM).is_some();
        let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
        let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
        let image: usize = self.images[1..].iter().product();
        let padded: Vec<u8> = (self.bytes().chunks(image))
            .flat_map(|image| {
                image.iter().copied().chain(std::iter::repeat_n(255, image.len().next_multiple_of(4) - image.len()))
            })
            .collect();
        store.set_resident("images", self.images[0], &padded).unwrap();
        let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
        let mut session =
            Session::new(&store, Arc::new(plan), SessionOptions::default().checked(checked).guarded(true)).unwrap();
        let run = |(indices, random): &(Vec<i32>, [i32; 4])| {
            session.poison();
            session.write("indices", indices).unwrap();
            if augmented {
                session.write(RANDOM, random).unwrap();
            }
            session.step().unwrap();
            assert_eq!(session.breach().unwrap(), None, "{self:?}");
            session.read_f32(batch).unwrap()
        };
        self.batches.iter().map(run).collect()
    }
}

#[test]
fn the_kernel_crops_and_flips_as_the_twin_does() {
    let Some(device) = device() else { return };
    for seed in 0..120 {
        let case = Batches::random(seed);
        let expected = case.by_twin();
        for checked in [true, false] {
            assert_eq!(case.by_kernel(device, checked), expected, "seed {seed}, checked {checked}, {case:?}");
        }
    }
}

/// One image 1,000 times, under its 1,000 places in the data set: every pixel says where it came from.
fn positions(augment: Augment) -> Batches {
    let op = Gather { scale: [1.0; 4], shift: [-64.0; 4], augment: Some(augment) };
    let indices: Vec<i32> = (0..1000).collect();
    let batches = [(1, 0), (1, 1), (2, 0), (1, 0)].map(|(seed, step)| (indices.clone(), draw(seed, step)));
    Batches { images: [1000, 1, 9, 9], op, batches: batches.to_vec() }
}

#[test]
fn steps_and_seeds_differ_and_a_seed_repeats() {
    let Some(device) = device() else { return };
    let batches = positions(Augment { padding: 2, flip: 0.5 }).by_kernel(device, false);
    assert_ne!(batches[0], batches[1], "two steps");
    assert_ne!(batches[0], batches[2], "two seeds");
    assert_eq!(batches[0], batches[3], "the same again");
}

#[test]
fn offsets_are_spread_evenly_and_half_of_the_images_are_flipped() {
    let Some(device) = device() else { return };
    let padding = 2;
    let case = positions(Augment { padding, flip: 0.5 });
    let bytes = case.bytes();
    let mut corners = [[0_usize; 5]; 5];
    let mut flips = 0;
    for (batch, _) in case.by_kernel(device, false).iter().zip(0..3) {
        for (i, image) in batch.chunks(81).enumerate() {
            // The one shift and flip that explains all pixels, which are random bytes.
            let explains = |top: usize, left: usize, flip: bool| {
                (0..81).all(|pixel| {
                    let (y, x) = (pixel / 9, pixel % 9);
                    let (row, column) = (y + top, if flip { 8 - x } else { x } + left);
                    let inside = (padding..9 + padding).contains(&row) && (padding..9 + padding).contains(&column);
                    let byte = if inside { bytes[i * 81 + (row - padding) * 9 + column - padding] } else { 0 };
                    image[pixel] == f32::from(byte) - 64.0
                })
            };
            let found: Vec<_> = (0..50)
                .map(|k| (k / 10, k / 2 % 5, k % 2 == 1))
                .filter(|&(top, left, flip)| explains(top, left, flip))
                .collect();
            let [(top, left, flip)] = found[..] else { panic!("image {i}: {found:?}") };
            corners[top][left] += 1;
            flips += usize::from(flip);
        }
    }
    // 3,000 draws: 120 for each corner, standard deviation 11; 1,500 flips, standard deviation 27.
    assert!(corners.iter().flatten().all(|&count| (70..170).contains(&count)), "{corners:?}");
    assert!((1380..1620).contains(&flips), "{flips}");
}

/// The images that an engine sees of a batch in training, at each of two steps, and in evaluation.
fn fed(engine: &mut dyn Engine, source: &mut dyn BatchSource, indices: &[u32]) -> Vec<Vec<f32>> {
    let mut images = Vec::new();
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
            images.push(engine.read(program, input).unwrap());
        }
    }
    images
}

#[test]
fn both_sources_draw_the_same_on_both_engines_and_not_in_evaluation() {
    let Some(device) = device() else { return };
    let rng = Rng::new(1, "bytes");
    let bytes = (0..20 * 6 * 5 * 3).map(|i| rng.words(i)[0] as u8).collect();
    let set = ImageSet::new(bytes, vec![0; 20], ImageSize::new(6, 5, 3), 1).unwrap();
    let normalisation = Normalisation { scale: [0.25, 0.5, 2.0, 2.0], shift: [-1.0, 0.5, 3.0, 3.0] };
    let augment = Augment { padding: 3, flip: 0.5 };
    let indices = [4, 19, 0, 7, 7];
    let resident = || ResidentSource::new("set", set.clone()).normalised(normalisation).augmented(augment);
    let uploaded = || DatasetSource::new("set", set.clone()).normalised(normalisation).augmented(augment);
    let expected = fed(&mut CpuEngine::new(), &mut resident(), &indices);
    let [first, second, evaluated] = expected.as_slice() else { panic!("{} batches", expected.len()) };
    assert_ne!(first, second, "two steps");
    let plain = ResidentSource::new("set", set.clone()).normalised(normalisation);
    assert_eq!(evaluated, &fed(&mut CpuEngine::new(), &mut { plain }, &indices)[0], "evaluation sees whole images");
    assert_eq!(expected, fed(&mut CpuEngine::new(), &mut uploaded(), &indices));
    assert_eq!(expected, fed(&mut GpuEngine::new(device.clone()), &mut resident(), &indices));
    assert_eq!(expected, fed(&mut GpuEngine::new(device.clone()), &mut uploaded(), &indices));
}

#[test]
fn a_data_set_in_pieces_is_augmented_too() {
    let Some(device) = device() else { return };
    // 300 images of 256 x 256 x 8 bytes are 157 MB, more than lavapipe's 128 MiB.
    let (count, extent) = (300, 256 * 256 * 8);
    let images: Vec<u8> = (0..count * extent).map(|i| (i / extent * 31 + i % 251) as u8).collect();
    let set = ImageSet::new(images, vec![0; count], ImageSize::new(256, 256, 8), 1).unwrap();
    let augment = Augment { padding: 5, flip: 0.5 };
    let uniform = Normalisation { scale: [0.5; 4], shift: [1.0; 4] };
    let indices = [299, 0, 255, 256];
    let mut source = ResidentSource::new("large", set.clone()).normalised(uniform).augmented(augment);
    let batches = fed(&mut GpuEngine::new(device.clone()), &mut source, &indices);
    for (slot, &index) in indices.iter().enumerate() {
        let crop = augment.crop(&draw(5, 1), index);
        for (y, x) in [(0, 0), (5, 250), (255, 255), (128, 3)] {
            let byte = crop
                .source([256, 256], y, x)
                .map_or(0, |[row, column]| set.image(index as usize)[(row * 256 + column) * 8 + 7]);
            let value = batches[1][((slot * 8 + 7) * 256 + y) * 256 + x];
            assert_eq!(value, f32::from(byte) * 0.5 + 1.0, "image {index} at {y}, {x}");
        }
    }
}
