//! Random numbers on the device, and the batch that is cropped and flipped by them.

use tilegrad::graph::{Spec, Tape, Tensor};
use tilegrad::ops::{Extent, Kernel, Lowering, Misfit, Operation, Source};
use tilegrad::reference::{Inputs, Outputs, Real, Twin, Value};
use tilegrad::rng::{Rng, philox};

use crate::check::{Case, Tolerance, check_op, device};

/// The words of [`philox`] for rows of counter and key: input i32 [N, 6], output i32 [N, 4].
#[derive(Debug)]
struct Philox;

/// One invocation owns one row.
const KERNEL: &str = "
struct Params { rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let i = id.x * 6;
    let words = philox(vec4u(input[i], input[i + 1], input[i + 2], input[i + 3]), vec2u(input[i + 4], input[i + 5]));
    for (var k = 0u; k < 4u; k++) { output[id.x * 4 + k] = words[k]; }
}";

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
        lowering
            .dispatch(kernel, (&(rows as u32).to_le_bytes(), &[("rows", 0)]), Extent::Invocations(rows))
            .bind("input", input)
            .bind("output", output);
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
    let mut tape = Tape::new(false);
    let input = tape.input("input", Spec::i32([rows.len() / 6, 6])).unwrap();
    let output = tape.append("philox", Philox, &[input], &[]).unwrap()[0];
    let inputs = vec![("input", Value::Int(rows))];
    check_op(device, Case { label: "philox".into(), tape, inputs, outputs: vec![(output, Tolerance::Exact)] });
}
