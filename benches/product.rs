//! Matrix products on the device: milliseconds and GFLOP/s of each variant that is valid.
//!
//!     cargo bench --bench product

use std::sync::Arc;

use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Spec, Tape};
use tilegrad::ops::Choices;
use tilegrad::ops::matmul::Matmul;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Init;

fn main() -> tilegrad::Result<()> {
    let device = Device::new(DeviceOptions::default())?;
    println!("{}", device.name());
    for [m, n, k] in [[64, 120, 400], [64, 400, 120], [120, 400, 64], [256, 256, 256], [512, 512, 512]] {
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false)] {
            let op = Matmul { transpose_a, transpose_b };
            let a = if transpose_a { [k, m] } else { [m, k] };
            let b = if transpose_b { [n, k] } else { [k, n] };
            let mut line = format!("{m:4} x {n:4} x {k:4} {}{}", letter(transpose_a), letter(transpose_b));
            let mut seen = Vec::new();
            for variant in ["vec4", "workgroup", "direct"] {
                let mut tape = Tape::new(false);
                let a = tape.input("a", Spec::f32(a))?;
                let b = tape.input("b", Spec::f32(b))?;
                let c = tape.product("product", op, a, b, None)?;
                tape.keep(c);
                let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
                let store = Arc::new(Store::new(&device, Arc::clone(&layout))?);
                let choices = Choices { everywhere: Some(variant), ..Choices::default() };
                let plan = Plan::new(Arc::new(tape), layout, device.caps(), &choices)?;
                let name = plan.steps[0].kernel.name;
                if seen.contains(&name) {
                    continue;
                }
                seen.push(name);
                let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
                session.write_f32("a", &Init::Uniform(1.0).values(1, "a", m * k))?;
                session.write_f32("b", &Init::Uniform(1.0).values(1, "b", k * n))?;
                let ms = session.time_each(15)?[0];
                line += &format!("  {name} {ms:.3} ms {:.1} GFLOP/s", 2e-6 * (m * n * k) as f64 / ms);
            }
            println!("{line}");
        }
    }
    Ok(())
}

fn letter(transposed: bool) -> char {
    if transposed { 'T' } else { 'N' }
}
