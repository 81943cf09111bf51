//! What a plan makes of the candidates of an operation: it takes the first that the device can run, and says what is wrong
//! with those of an operation of one's own.

use tilegrad::graph::{Misfit, Operation, Purpose, Spec, Tape, Tensor};
use tilegrad::kernel::{
    Candidate, Caps, Choices, DeviceClass, Dispatch, Extent, Kernel, Lowering, Needs, Source, Tensors,
};
use tilegrad::plan::candidates;
use tilegrad::twin::{Inputs, Outputs, Real, Twin};

use crate::zoo;

/// Which faults an operation has.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    /// A key for files of choices.
    key: bool,
    /// A candidate that pushes nothing goes first.
    nothing: bool,
    /// All candidates need more than WebGPU's smallest workgroup memory.
    large: bool,
}

tilegrad::params! {
    /// How many elements there are.
    struct Params { len: u32 }
}

fn push(lowering: &mut Lowering<'_>, name: &'static str) -> tilegrad::Result<()> {
    let len = lowering.output_len(0);
    let kernel = Kernel::new(name, &[Source::new("own", "")]);
    let dispatch = Dispatch::new(kernel, &Params { len: len as u32 }, Extent::Invocations(len))
        .bind("input", lowering.input(0))
        .bind("output", lowering.output(0));
    lowering.push(dispatch);
    Ok(())
}

impl Operation for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        Ok(vec![Spec::like(inputs[0])])
    }

    fn key(&self) -> Option<String> {
        self.key.then(|| "own".to_string())
    }

    fn candidates<'a>(&'a self, _tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        let memory = |bytes| Needs { workgroup_memory: bytes, ..Needs::default() };
        let mut found = vec![
            Candidate::new("wide", |lowering| push(lowering, "own/wide")).needs(memory(32 << 10)),
            Candidate::new("narrow", |lowering| push(lowering, "own/narrow")).needs(memory(if self.large {
                20 << 10
            } else {
                8 << 10
            })),
        ];
        if self.nothing {
            found.insert(0, Candidate::new("nothing", |_| Ok(())).tile("8x8"));
        }
        found
    }
}

impl Twin for Own {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

/// The name of the kernel that is planned, or the error.
fn planned(own: Own, workgroup_memory: u32, choices: &Choices) -> Result<&'static str, String> {
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([4, 4])).unwrap();
    let output = tape.append("node", own, &[input], &[]).unwrap()[0];
    tape.keep(output);
    let caps = Caps { max_workgroup_memory: workgroup_memory, ..Caps::webgpu(DeviceClass::Discrete) };
    let plan = zoo::plan(&tape, &caps, choices).map_err(|error| error.to_string())?;
    let offered = candidates(&tape, &tape.nodes()[0], &caps);
    assert_eq!(plan.chosen.len(), usize::from(offered.len() > 1));
    Ok(plan.steps[0].kernel.name)
}

#[test]
fn the_first_that_the_device_can_run_is_taken() {
    let own = Own { key: true, ..Own::default() };
    assert_eq!(planned(own, 32 << 10, &Choices::default()), Ok("own/wide"));
    assert_eq!(planned(own, 16 << 10, &Choices::default()), Ok("own/narrow"));
    assert_eq!(planned(own, 32 << 10, &Choices::everywhere("narrow")), Ok("own/narrow"));
    assert_eq!(
        planned(own, 16 << 10, &Choices::everywhere("wide")),
        Ok("own/narrow"),
        "what it can't run is passed over"
    );
}

#[test]
fn what_is_wrong_with_candidates_is_said() {
    let error = |own, memory| planned(own, memory, &Choices::default()).unwrap_err();
    let own = Own { key: true, ..Own::default() };
    // With one candidate left there is no choice, and no key is asked for.
    assert_eq!(planned(Own::default(), 16 << 10, &Choices::default()), Ok("own/narrow"));
    let text = error(Own::default(), 32 << 10);
    assert!(text.contains("own \"node\" has several candidates, but no key()"), "{text}");
    let text = error(Own { large: true, ..own }, 16 << 10);
    assert!(text.contains("own \"node\"") && text.contains("\"wide\"") && text.contains("20480"), "{text}");
    let text = error(Own { nothing: true, ..own }, 16 << 10);
    assert!(text.contains("own \"node\" has a candidate \"nothing:8x8\" that pushes no dispatch"), "{text}");
}
