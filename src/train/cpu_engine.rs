//! The engine that runs tapes on the CPU, by the reference executor.

use std::sync::Arc;

use super::engine::{Engine, ProgramId, Sink, Target};
use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::plan::Memory;
use crate::reference;
use crate::tensor::{Tensor, TensorId};
use crate::twin::Value;

/// What a tape calls the momentum buffer of a parameter.
fn momentum_name(parameter: &str) -> String {
    format!("{parameter}.momentum_buffer")
}

/// Runs tapes on the CPU, by the reference executor.
#[derive(Default)]
pub struct CpuEngine {
    store: reference::HostStore<f32>,
    programs: Vec<reference::Program<f32>>,
}

impl CpuEngine {
    /// An engine without programs.
    pub fn new() -> Self {
        CpuEngine::default()
    }

    fn kept(&self, name: &str) -> Result<&Value<f32>> {
        self.store.get(name).ok_or_else(|| Error::name(name, "nothing of that name is kept"))
    }

    /// Sets `name`, which has as many values as `parameter`.
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
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn tape(&self, program: ProgramId) -> &Tape {
        self.programs[program.0].tape()
    }

    fn memory(&self, _program: ProgramId) -> Option<Memory> {
        None
    }

    fn sink(&mut self, program: Option<ProgramId>) -> Sink<'_> {
        Sink { target: Target::Cpu(&mut self.store, program.map(|program| &mut self.programs[program.0])) }
    }

    fn write_f32(&mut self, program: ProgramId, name: &str, values: &[f32]) -> Result<()> {
        self.programs[program.0].write(name, Value::Real(values.to_vec()))
    }

    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.programs[program.0].run(&mut self.store, stages)
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        let tensor = self.tape(program).tensor(id).name.clone();
        let value = self.programs[program.0].read(id).ok_or_else(|| Error::name(tensor, "has no value yet"))?;
        Ok(value.real().to_vec())
    }

    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        Ok(self.kept(name)?.real().to_vec())
    }

    fn clear_state(&mut self, name: &str) -> Result<()> {
        // A state that no step has made yet is zero already.
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

    fn momentum(&mut self, name: &str) -> Result<Vec<f32>> {
        let len = self.kept(name)?.len();
        Ok(self.store.get(&momentum_name(name)).map_or_else(|| vec![0.0; len], |value| value.real().to_vec()))
    }

    fn set_momentum(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.set_like(&momentum_name(name), name, values)
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
