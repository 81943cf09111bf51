//! The guard itself: a kernel that reads or writes beyond a tensor is found out, with and without bounds checks.

use tilegrad::gpu::{Device, SessionOptions};
use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Tape, Tensor};
use tilegrad::kernel::{Choices, Dispatch, Extent, Kernel, Lowering, Source};
use tilegrad::ops::reduce::Dim;
use tilegrad::twin::{Inputs, Outputs, Real, Twin};

use crate::check::{device, session};

/// A copy whose last invocation also writes beyond its output, or reads beyond its input.
#[derive(Debug)]
struct Stray {
    /// So many elements behind the last.
    by: u32,
    writes: bool,
}

const KERNEL: &str = "
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.len { return; }
    let last = id.x + 1u == params.len;
    output[id.x] = input[id.x + select(0u, params.read, last)];
    if last && params.write > 0u { output[id.x + params.write] = 3.0; }
}";

tilegrad::params! {
    /// What the kernel is told.
    struct Params { len: u32, read: u32, write: u32 }
}

impl Operation for Stray {
    fn name(&self) -> &'static str {
        "stray"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> tilegrad::Result<()> {
        let len = lowering.output_len(0) as u32;
        let [read, write] = if self.writes { [0, self.by] } else { [self.by, 0] };
        let params = Params { len, read, write };
        let kernel = Kernel::new("stray", &[Source::new("test", KERNEL)]);
        let (input, output) = (lowering.input(0), lowering.output(0));
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Invocations(len.into())).bind("input", input).bind("output", output),
        );
        Ok(())
    }
}

impl Twin for Stray {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

/// What the last element of the output is after a step, and the breach that is seen.
fn run(device: &Device, op: Stray) -> (f32, Option<String>) {
    let mut tape = Tape::new(Purpose::Evaluate);
    // A larger tensor before it, whose slot the output may share.
    let input = tape.input("input", Spec::f32([7, 11])).unwrap();
    let large = tape.input("large", Spec::f32([70, 11])).unwrap();
    let made = tape.relu("relu", large).unwrap();
    let sum = tape.sum("sum", made, Dim::All).unwrap();
    tape.keep(sum);
    let output = tape.append("stray", op, &[input], &[]).unwrap()[0];
    tape.keep(output);
    let options = SessionOptions::default().checked(true).guarded(true);
    let mut session = session(device, tape, &Choices::default(), options).unwrap();
    session.write("input", &[1.0; 77]).unwrap();
    session.write("large", &[1.0; 770]).unwrap();
    session.step().unwrap();
    let last = session.read_f32(output).unwrap()[76];
    (last, session.breach().unwrap())
}

#[test]
fn a_write_beyond_a_tensor_is_named_with_its_kernel() {
    let Some(device) = device() else { return };
    assert_eq!(run(device, Stray { by: 0, writes: true }).1, None);
    // One element, and a tile of 128 rows of 128 columns: what a kernel can miss by.
    for by in [1, 128 * 128] {
        let breach = run(device, Stray { by, writes: true }).1.unwrap_or_else(|| panic!("{by} is not seen"));
        let byte = format!("byte {}", 4 * (76 + by));
        for part in [byte.as_str(), "308", "\"stray\" by stray"] {
            assert!(breach.contains(part), "{part} is not in {breach}");
        }
    }
}

#[test]
fn a_nan_that_is_read_beyond_a_tensor_reaches_the_result() {
    let Some(device) = device() else { return };
    for by in [1, 128 * 128] {
        let (last, breach) = run(device, Stray { by, writes: false });
        assert!(last.is_nan(), "{by} elements beyond the input lies {last}");
        assert_eq!(breach, None);
    }
}
