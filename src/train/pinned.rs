//! Choices that a run must use or else stop: those of a file written by an earlier run.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::kernel::{Choice, Choices};
use crate::plan::Plan;

/// The choices of a file.
pub(super) struct Pinned {
    pub choices: Choices,
    file: PathBuf,
}

/// Advice for a choice that can't be used.
const WAY_OUT: &str = "take the entry out, or make a new file on this device with --tune --out DIR";

impl Pinned {
    pub fn read(file: &Path) -> Result<Self> {
        Ok(Pinned { choices: Choices::read(file)?, file: file.into() })
    }

    /// Number of the plan's choices that the file makes by their shapes. An error names a choice that this device does
    /// not offer.
    pub fn check(&self, plan: &Plan) -> Result<usize> {
        let mut found = std::collections::BTreeSet::new();
        for chosen in &plan.chosen {
            let Some(choice) = self.choices.by_shape.get(&chosen.key) else { continue };
            if !chosen.offers(choice) {
                let candidates: Vec<String> = chosen.candidates.iter().map(Choice::to_string).collect();
                let candidates = candidates.join(", ");
                return Err(self.error(format!(
                    "\"{}\" is pinned to \"{choice}\", which is none of {candidates} on this device; {WAY_OUT}",
                    chosen.key
                )));
            }
            found.insert(&chosen.key);
        }
        Ok(found.len())
    }

    /// Returns an error if an entry applies to none of these plans, except entries for other shapes, which a run may
    /// still need.
    pub fn check_all(&self, plans: &[Plan]) -> Result<usize> {
        let mut found = 0;
        for plan in plans {
            found = found.max(self.check(plan)?);
        }
        let chosen = || plans.iter().flat_map(|plan| &plan.chosen);
        for (name, choice) in &self.choices.by_operation {
            if !chosen().any(|chosen| chosen.node.op.name() == name && chosen.offers(choice)) {
                return Err(self.error(format!(
                    "\"{name}\" is pinned to \"{choice}\", which this run can take for none of its nodes; {WAY_OUT}"
                )));
            }
        }
        if let Some(choice) = self.choices.everywhere.as_ref().filter(|choice| !chosen().any(|c| c.offers(choice))) {
            return Err(
                self.error(format!("\"everywhere\" is \"{choice}\", which no node of this run can take; {WAY_OUT}"))
            );
        }
        if found == 0 && !self.choices.by_shape.is_empty() {
            let count = self.choices.by_shape.len();
            return Err(self.error(format!(
                "none of its {count} choices is for a shape of this run; pin a file that the same network wrote with the same batch size"
            )));
        }
        Ok(found)
    }

    fn error(&self, message: String) -> Error {
        Error::data(&self.file, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::graph::{Purpose, Tape};
    use crate::kernel::{Caps, DeviceClass};
    use crate::plan::ParameterLayout;
    use crate::tensor::Spec;

    #[test]
    fn a_choice_that_cannot_be_taken_is_named_with_its_file() {
        let mut tape = Tape::new(Purpose::Evaluate);
        let a = tape.input("a", Spec::f32([64, 64])).unwrap();
        let b = tape.input("b", Spec::f32([64, 64])).unwrap();
        let op = crate::ops::matmul::Matmul { transpose_a: false, transpose_b: false };
        let c = tape.product("product", op, a, b, None).unwrap();
        tape.keep(c);
        let caps = Caps::webgpu(DeviceClass::Discrete);
        let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
        let plan = |choices: &Choices| Plan::new(Arc::new(tape.clone()), Arc::clone(&layout), &caps, choices).unwrap();
        let key = plan(&Choices::default()).chosen[0].key.clone();
        let check = |choices: Choices| {
            let plans = [plan(&choices)];
            Pinned { choices, file: "choices.json".into() }.check_all(&plans).map_err(|error| error.to_string())
        };
        let by_shape =
            |key: &str, choice: &str| Choices { by_shape: [(key.into(), choice.into())].into(), ..Choices::default() };
        assert_eq!(check(by_shape(key.as_str(), "direct")), Ok(1));
        assert_eq!(check(Choices::default()), Ok(0));
        assert_eq!(check(Choices::everywhere("direct").operation("matmul", "workgroup")), Ok(0));
        let error = check(by_shape(key.as_str(), "winograd")).unwrap_err();
        for part in ["choices.json", key.as_str(), "\"winograd\"", "direct", "--tune"] {
            assert!(error.contains(part), "\"{part}\" is not in: {error}");
        }
        assert!(check(by_shape("matmul [1,2]", "direct")).unwrap_err().contains("none of its 1 choices"));
        assert!(check(Choices::default().operation("conv2d", "direct")).unwrap_err().contains("\"conv2d\""));
        assert!(check(Choices::everywhere("shuffle")).unwrap_err().contains("\"everywhere\""));
    }
}
