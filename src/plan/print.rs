//! Printout of a plan: its memory, and its dispatches one by one.

use std::fmt;

use super::{Buffer, Plan, Reason};
use crate::graph::Stage;
use crate::kernel::FlatBuffer;
use crate::tensor::Role;

/// Device memory of a plan in bytes, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Slots: activations, their gradients and workspaces, shared over time.
    pub activations: u64,
    /// The same, if each tensor had separate memory.
    pub activations_unshared: u64,
    /// Content of the slots at the peak: activations, their gradients, workspaces.
    pub fullest: [u64; 3],
    /// Parameters.
    pub parameters: u64,
    /// Gradients of parameters, and their accumulated sums if there are any.
    pub gradients: u64,
    /// Optimizer state: momentum buffers.
    pub optimizer: u64,
    /// Inputs, states, the model's buffers and data sets.
    pub data: u64,
}

impl Memory {
    /// Total, as allocated.
    pub fn total(&self) -> u64 {
        self.activations + self.kept()
    }

    /// Total, if each tensor had separate memory.
    pub fn total_unshared(&self) -> u64 {
        self.activations_unshared + self.kept()
    }

    fn kept(&self) -> u64 {
        self.parameters + self.gradients + self.optimizer + self.data
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:.2} MiB: activations {:.2} ({:.2} without sharing; at most {:.2}, their gradients {:.2} and work {:.2} at once), \
             parameters {:.2}, gradients {:.2}, momentum {:.2}, data {:.2}",
            mib(self.total()),
            mib(self.activations),
            mib(self.activations_unshared),
            mib(self.fullest[0]),
            mib(self.fullest[1]),
            mib(self.fullest[2]),
            mib(self.parameters),
            mib(self.gradients),
            mib(self.optimizer),
            mib(self.data),
        )
    }
}

impl Plan {
    /// The plan's device memory.
    pub fn memory(&self) -> Memory {
        let mut counted = std::collections::HashSet::new();
        let mut data = 0;
        for (id, spans) in self.placed() {
            if matches!(
                self.tape.tensor(id).role,
                Role::Input | Role::State | Role::Buffer { .. } | Role::Resident | Role::Constant(_)
            ) {
                for span in spans.iter().filter(|span| counted.insert(span.buffer.clone())) {
                    data += span.bytes;
                }
            }
        }
        let trains = self.steps.iter().any(|step| step.stage == Stage::Update);
        let flat = |buffer, counts: bool| if counts { self.layout.bytes(buffer) } else { 0 };
        Memory {
            activations: self.slots.iter().sum(),
            activations_unshared: self.unshared,
            fullest: self.fullest,
            parameters: flat(FlatBuffer::Parameter, true),
            gradients: flat(FlatBuffer::Gradient, trains) + flat(FlatBuffer::Accumulated, trains),
            optimizer: self
                .layout
                .buffers()
                .into_iter()
                .filter(|buffer| matches!(buffer, FlatBuffer::Optimizer(_)))
                .map(|buffer| flat(buffer, trains))
                .sum(),
            data,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory();
        writeln!(
            f,
            "{} dispatches of {} kernels, {} slots; memory {memory}",
            self.steps.len(),
            self.kernels().len(),
            self.slots.len(),
        )?;
        writeln!(f, "peak {} bytes with sharing, {} without", memory.total(), memory.total_unshared())?;
        let shape_of = |span: &super::Span| {
            self.placed()
                .filter(|(_, spans)| spans.contains(span))
                .map(|(id, _)| id)
                .min()
                .map_or_else(String::new, |id| self.tape.shape(id).to_string())
        };
        let mut parts = self.parts();
        if parts.len() == 1 {
            parts.clear();
        }
        for (number, step) in self.steps.iter().enumerate() {
            if let Some(at) = parts.iter().position(|part| part.dispatches.start == number) {
                let milliseconds = parts[at].milliseconds.unwrap_or_default();
                writeln!(f, "part {} of {}, about {milliseconds:.3} ms{}", at + 1, parts.len(), why(self, at))?;
            }
            writeln!(
                f,
                "{:8} {:28} {:32} {:?}",
                format!("{:?}", step.stage).to_lowercase(),
                step.node,
                step.kernel.name,
                step.extent
            )?;
            for (name, span) in &step.bindings {
                writeln!(f, "{:13}{name:14} {:16} {:24} {} bytes", "", shape_of(span), place(span), span.bytes)?;
            }
        }
        Ok(())
    }
}

/// The reason why a part begins where it does; the first has none.
fn why(plan: &Plan, part: usize) -> &'static str {
    match part.checked_sub(1).map(|cut| plan.cuts()[cut].reason) {
        Some(Reason::BoundedWork) => " (cut to bound the work)",
        None => "",
    }
}

fn place(span: &super::Span) -> String {
    let at = match &span.buffer {
        Buffer::Slot(slot) => format!("slot {slot}"),
        Buffer::Input(name) => format!("input {name}"),
        Buffer::Flat { buffer, group, piece } => {
            format!("{}[{group}.{piece}]", format!("{buffer:?}").to_lowercase())
        }
        Buffer::State(name) => format!("state {name}"),
        Buffer::Resident { name, piece } => format!("data set {name}[{piece}]"),
        Buffer::Constant(bits) => format!("constant {}", f32::from_bits(*bits)),
    };
    if span.offset > 0 { format!("{at}+{}", span.offset) } else { at }
}
