//! One dispatch of a kernel, as data.

use super::params::Params;
use super::wgsl::Kernel;
use crate::tensor::TensorId;

/// One of the flat buffers of a parameter group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlatBuffer {
    /// The parameters.
    Parameter,
    /// Their gradients.
    Gradient,
    /// What an optimizer keeps for each of them under this name, such as "momentum_buffer".
    Optimizer(&'static str),
    /// The sums of the gradients of several batches, where gradients accumulate.
    Accumulated,
}

/// What a binding holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// A piece of a tensor; most have only piece 0.
    Tensor {
        /// The tensor.
        id: TensorId,
        /// Which of its pieces.
        piece: usize,
    },
    /// Memory of the node's own, by number.
    Scratch(usize),
    /// A whole piece of a flat buffer.
    Flat {
        /// Which buffer.
        buffer: FlatBuffer,
        /// Of which parameter group.
        group: usize,
        /// Which of its pieces.
        piece: usize,
    },
}

/// A name of the kernel's module scope and what is bound to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The name of the WGSL variable.
    pub name: &'static str,
    /// What is bound.
    pub operand: Operand,
}

/// How much a dispatch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At least this many invocations, along one axis.
    Invocations(u64),
    /// This many workgroups, along one axis.
    Workgroups(u64),
}

/// How many steps the invocation that works longest makes one after the other: what no device can do side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// Places of a product's K dimension, at each of which it multiplies and adds for every sum that it owns. Whoever says
    /// this has the node's multiply-adds.
    KPlaces(u64),
    /// Elements of a sum, a copy or an update; a vector that is loaded at once counts as one.
    Elements(u64),
}

/// One dispatch of a kernel. It is built, then given to [`Lowering::push`](super::Lowering::push).
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Kernel,
    /// On what.
    pub bindings: Vec<Binding>,
    /// The bytes of the uniform `params`; the kernel has its fields.
    pub params: Vec<u8>,
    /// How much.
    pub extent: Extent,
    /// How long one invocation works, if it was said; the library's own operations say it of every dispatch.
    pub serial: Option<Serial>,
    /// The multiply-adds that it executes, if they are not those that the operation needs: with the zeros of a stride, say, or
    /// fewer by a fast algorithm. Those beyond the edges of tiles do not count.
    pub executed: Option<u64>,
}

impl Dispatch {
    /// Makes a dispatch of `kernel`, with `params` and nothing bound yet.
    pub fn new<P: Params>(mut kernel: Kernel, params: &P, extent: Extent) -> Self {
        kernel.params = P::FIELDS;
        Dispatch { kernel, bindings: Vec::new(), params: params.bytes(), extent, serial: None, executed: None }
    }

    /// Binds `operand` to the module's variable `name`.
    pub fn bind(mut self, name: &'static str, operand: Operand) -> Self {
        self.bindings.push(Binding { name, operand });
        self
    }

    /// Binds every pair of a name and an operand: a list, or an operand that may be missing.
    pub fn bind_all(mut self, bindings: impl IntoIterator<Item = (&'static str, Operand)>) -> Self {
        self.bindings.extend(bindings.into_iter().map(|(name, operand)| Binding { name, operand }));
        self
    }

    /// States that the dispatch is a product, of which one invocation adds up `places` places of the K dimension in a row.
    pub fn k_places(mut self, places: impl Into<u64>) -> Self {
        self.serial = Some(Serial::KPlaces(places.into()));
        self
    }

    /// States how many multiply-adds it executes.
    pub fn executes(mut self, multiply_adds: u64) -> Self {
        self.executed = Some(multiply_adds);
        self
    }

    /// States that one invocation takes `count` elements in a row: those of a sum, a copy, an update.
    pub fn elements(mut self, count: impl Into<u64>) -> Self {
        self.serial = Some(Serial::Elements(count.into()));
        self
    }
}
