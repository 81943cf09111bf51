//! One kernel from its WGSL file (hello_kernel.wgsl) to a checked result, with the parts of every operation of the
//! library.
//!
//!     cargo run --release --example hello_kernel
//!     cargo run --release --example hello_kernel -- --profile trace.json

use std::sync::Arc;

use tilegrad::gpu::{Device, DeviceOptions, Peak, Session, SessionOptions, Store};
use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Stage, Tape, Tensor};
use tilegrad::kernel::{Choices, Dispatch, Extent, Kernel, Lowering, Source};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::reference::{HostStore, Program};
use tilegrad::twin::{Inputs, Outputs, Real, Twin, Value};
use tilegrad::{Error, Result};

/// An operation, defined by its attributes.
#[derive(Debug)]
struct Hello {
    a: f32,
}

tilegrad::params! {
    /// Parameters of the kernel beside its tensors. The WGSL file reads `params.len` and `params.a`.
    struct Params { len: u32, a: f32 }
}

/// Its shape rule, and the dispatch that computes it on the GPU.
impl Operation for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let source = Source::new("hello_kernel.wgsl", include_str!("hello_kernel.wgsl"));
        let len = lowering.output_len(0);
        let params = Params { len: len as u32, a: self.a };
        let (input, output) = (lowering.input(0), lowering.output(0));
        lowering.push(
            Dispatch::new(Kernel::new("hello", &[source]), &params, Extent::Invocations(len))
                .bind("input", input) // by the names in the WGSL file
                .bind("output", output),
        );
        Ok(())
    }
}

/// Its twin, which defines in plain Rust the result that the kernel must compute.
impl Twin for Hello {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (y, &x) in outputs.real(0).iter_mut().zip(inputs.real(0)) {
            *y = R::of(f64::from(self.a)) * x + x * x;
        }
    }
}

fn main() -> Result<()> {
    // A tape is the program as data. A plan determines its memory and dispatches. A session runs it on a device.
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([1, 1000]))?;
    let output = tape.append("hello", Hello { a: 2.0 }, &[input], &[])?[0];
    tape.keep(output);
    let tape = Arc::new(tape);
    let values: Vec<f32> = (0..1000).map(|i| i as f32 / 100.0).collect();

    let device = Device::new(DeviceOptions::default())?;
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
    let store = Arc::new(Store::new(&device, Arc::clone(&layout))?);
    let plan = Plan::new(Arc::clone(&tape), layout, device.caps(), &Choices::default())?;
    print!("{}\n{plan}\n", device.name());
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
    session.write("input", &values)?;
    session.step()?;
    let gpu = session.read_f32(output)?;

    let mut program = Program::<f64>::new(tape);
    program.write("input", Value::Real(values.iter().map(|&x| f64::from(x)).collect()))?;
    program.run(&mut HostStore::default(), &[Stage::Forward])?;
    let exact = program.read(output).map(Value::real).unwrap_or_default();
    let worst = gpu.iter().zip(exact).map(|(&y, e)| (f64::from(y) - e).abs()).fold(0.0, f64::max);
    println!("f(9.99) = {} on the GPU, {} by the twin; the largest difference is {worst:e}", gpu[999], exact[999]);
    assert!(worst < 1e-4, "the kernel and its twin disagree");

    // The kernel's time, also as a trace for https://ui.perfetto.dev.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {}
        [option, file] if option == "--profile" => {
            let profile = session.profile(&[Stage::Forward], 20)?.against(Peak::measure(&device)?);
            println!("\n{profile}");
            std::fs::write(file, profile.to_chrome_trace()).map_err(|source| Error::io(file, source))?;
        }
        other => return Err(Error::config(other.join(" "), "the one option is --profile FILE")),
    }
    Ok(())
}
