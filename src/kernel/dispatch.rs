//! One dispatch of a kernel, as data.

use super::params::Params;
use super::wgsl::Kernel;
use crate::tensor::TensorId;

/// A flat buffer of a parameter group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlatBuffer {
    /// The parameters.
    Parameter,
    /// Their gradients.
    Gradient,
    /// The optimizer's state of this name for each of them, such as "momentum_buffer".
    Optimizer(&'static str),
    /// The accumulated gradients of several batches.
    Accumulated,
}

/// The content of a binding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// A piece of a tensor; most have only piece 0.
    Tensor {
        /// The tensor.
        id: TensorId,
        /// Index of the piece.
        piece: usize,
    },
    /// Workspace of the node, by index.
    Scratch(usize),
    /// A whole piece of a flat buffer.
    Flat {
        /// The buffer.
        buffer: FlatBuffer,
        /// Index of the parameter group.
        group: usize,
        /// Index of the piece.
        piece: usize,
    },
}

/// A variable of the kernel's module scope and its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Name of the WGSL variable.
    pub name: &'static str,
    /// Content bound to it.
    pub operand: Operand,
}

/// Size of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At least this many invocations, along one axis.
    Invocations(u64),
    /// This many workgroups, along one axis.
    Workgroups(u64),
}

/// Number of sequential steps of the longest invocation, which no device can run in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// Positions along a product's K dimension, with one multiply-add each for every sum that the invocation owns. Only
    /// an operation with multiply-adds has these.
    KPlaces(u64),
    /// Elements of a sum, a copy or an update; a vector loaded at once counts as one.
    Elements(u64),
}

/// One dispatch of a kernel, built step by step and then passed to [`Lowering::push`](super::Lowering::push).
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel to run.
    pub kernel: Kernel,
    /// Its bindings.
    pub bindings: Vec<Binding>,
    /// Bytes of the uniform `params`, whose fields the kernel describes.
    pub params: Vec<u8>,
    /// Its size.
    pub extent: Extent,
    /// Sequential length of one invocation, if stated; the library's own operations state it for every dispatch.
    pub serial: Option<Serial>,
    /// Number of multiply-adds executed, if it differs from what the operation needs: more with the zeros of a stride,
    /// fewer by a fast algorithm. Those beyond the edges of tiles do not count.
    pub executed: Option<u64>,
}

impl Dispatch {
    /// Creates a dispatch of `kernel` with `params` and no bindings.
    pub fn new<P: Params>(mut kernel: Kernel, params: &P, extent: Extent) -> Self {
        kernel.params = P::FIELDS;
        Dispatch { kernel, bindings: Vec::new(), params: params.bytes(), extent, serial: None, executed: None }
    }

    /// Binds `operand` to the module's variable `name`.
    pub fn bind(mut self, name: &'static str, operand: Operand) -> Self {
        self.bindings.push(Binding { name, operand });
        self
    }

    /// Binds every pair of a name and an operand: a list, or an optional operand.
    pub fn bind_all(mut self, bindings: impl IntoIterator<Item = (&'static str, Operand)>) -> Self {
        self.bindings.extend(bindings.into_iter().map(|(name, operand)| Binding { name, operand }));
        self
    }

    /// States that the dispatch is a product, in which one invocation runs through `places` positions of the K
    /// dimension.
    pub fn k_places(mut self, places: impl Into<u64>) -> Self {
        self.serial = Some(Serial::KPlaces(places.into()));
        self
    }

    /// States the number of multiply-adds executed.
    pub fn executes(mut self, multiply_adds: u64) -> Self {
        self.executed = Some(multiply_adds);
        self
    }

    /// States that one invocation handles `count` elements in sequence, in a sum, a copy or an update.
    pub fn elements(mut self, count: impl Into<u64>) -> Self {
        self.serial = Some(Serial::Elements(count.into()));
        self
    }
}
