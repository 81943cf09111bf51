//! The engine that runs tapes on the CPU with the reference executor.

use std::sync::Arc;

use super::engine::{Engine, ProgramId};
use crate::data::{ImageSet, images_name, labels_name};
use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::plan::Memory;
use crate::reference;
use crate::tensor::{Tensor, TensorId, Values};
use crate::twin::Value;

/// The name on a tape of an optimizer's state for a parameter.
fn kept_name(parameter: &str, buffer: &str) -> String {
    format!("{parameter}.{buffer}")
}

/// Runs tapes on the CPU with the reference executor.
#[derive(Default)]
pub struct CpuEngine {
    store: reference::HostStore<f32>,
    programs: Vec<reference::Program<f32>>,
}

impl CpuEngine {
    /// Creates an engine without programs.
    pub fn new() -> Self {
        CpuEngine::default()
    }

    fn kept(&self, name: &str) -> Result<&Value<f32>> {
        self.store.get(name).ok_or_else(|| Error::name(name, "nothing of that name is kept"))
    }

    /// Sets `name`, which has the element count of `parameter`.
    fn set_like(&mut self, name: &str, parameter: &str, values: &[f32]) -> Result<()> {
        let expected = self.kept(parameter)?.real().len();
        if expected != values.len() {
            let message = format!("has {expected} values, got {}", values.len());
            return Err(Error::shape("parameter", name, message).between(expected, values.len()));
        }
        self.store.set(name, Value::Real(values.to_vec()));
        Ok(())
    }
}

impl Engine for CpuEngine {
    fn name(&self) -> String {
        format!("CPU (reference executor, {} threads)", rayon::current_num_threads())
    }

    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()> {
        self.programs.clear();
        self.store = reference::HostStore::new(tape, seed);
        Ok(())
    }

    fn compile(&mut self, tape: Tape) -> Result<ProgramId> {
        self.programs.push(reference::Program::new(Arc::new(tape)));
        Ok(ProgramId::new(self.programs.len() - 1))
    }

    fn tape(&self, program: ProgramId) -> &Tape {
        self.programs[program.number()].tape()
    }

    fn memory(&self, _program: ProgramId) -> Option<Memory> {
        None
    }

    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        self.store.set(&images_name(name), Value::Bytes(images.images.clone()));
        self.store.set(&labels_name(name), Value::Int(images.labels.clone()));
        Ok(())
    }

    fn write(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        let program = &mut self.programs[program.number()];
        if let Some(id) = program.tape().find_input(name) {
            values.check(program.tape().tensor(id))?;
        }
        program.write(
            name,
            match values {
                Values::F32(values) => Value::Real(values.to_vec()),
                Values::I32(values) => Value::Int(values.to_vec()),
            },
        )
    }

    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.programs[program.number()].run(&mut self.store, stages)
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        let tensor = self.tape(program).tensor(id).name.clone();
        let value = self.programs[program.number()].read(id).ok_or_else(|| Error::name(tensor, "has no value yet"))?;
        Ok(value.real().to_vec())
    }

    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        Ok(self.kept(name)?.real().to_vec())
    }

    fn clear_state(&mut self, name: &str) -> Result<()> {
        // A state that no step has created yet is already zero.
        if let Some(value) = self.store.get(name) {
            let zeros = vec![0.0; value.real().len()];
            self.store.set(name, Value::Real(zeros));
        }
        Ok(())
    }

    fn set_state(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.store.set(name, Value::Real(values.to_vec()));
        Ok(())
    }

    fn parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        Ok(self.kept(name)?.real().to_vec())
    }

    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.set_like(name, name, values)
    }

    fn optimizer_buffer(&mut self, parameter: &str, buffer: &str) -> Result<Vec<f32>> {
        let len = self.kept(parameter)?.len();
        let kept = self.store.get(&kept_name(parameter, buffer));
        Ok(kept.map_or_else(|| vec![0.0; len], |value| value.real().to_vec()))
    }

    fn set_optimizer_buffer(&mut self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()> {
        self.set_like(&kept_name(parameter, buffer), parameter, values)
    }

    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>> {
        self.kept(&tensor.name).cloned()
    }

    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()> {
        let expected = self.kept(name)?;
        if expected.len() != values.len() {
            let message = format!("has {} values, got {}", expected.len(), values.len());
            return Err(Error::shape("buffer", name, message).between(expected.len(), values.len()));
        }
        self.store.set(name, values);
        Ok(())
    }
}
