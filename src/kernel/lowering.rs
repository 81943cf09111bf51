//! Lowering from a node's tensors to dispatches: operands by tensor, and the device's capabilities.

use std::cell::Cell;

use super::caps::Caps;
use super::dispatch::{Dispatch, Operand};
use super::epilogue::{Epilogue, Steps};
use super::pieces::{Pieces, tensor_pieces};
use crate::error::Result;
use crate::tensor::{Tensor, TensorId};

/// The tensors of a node, which determine its candidates and which they read and write.
#[derive(Clone, Debug, Default)]
pub struct Tensors<'a> {
    /// Inputs of the node.
    pub inputs: Vec<(TensorId, &'a Tensor)>,
    /// Outputs of the node.
    pub outputs: Vec<(TensorId, &'a Tensor)>,
    /// Tensors that it updates in place.
    pub updates: Vec<(TensorId, &'a Tensor)>,
}

impl<'a> Tensors<'a> {
    /// Input `i`.
    pub fn input(&self, i: usize) -> &'a Tensor {
        self.inputs[i].1
    }

    /// Output `i`.
    pub fn output(&self, i: usize) -> &'a Tensor {
        self.outputs[i].1
    }

    /// Extents of input `i` as [N, C, H, W], 1 for missing ones.
    pub fn input_dims(&self, i: usize) -> [u32; 4] {
        dims(self.input(i))
    }

    /// Extents of output `i` as [N, C, H, W], 1 for missing ones.
    pub fn output_dims(&self, i: usize) -> [u32; 4] {
        dims(self.output(i))
    }

    /// The same tensors without the last `count` inputs.
    pub(crate) fn without_last_inputs(&self, count: usize) -> Self {
        let inputs = self.inputs[..self.inputs.len().saturating_sub(count)].to_vec();
        Tensors { inputs, ..self.clone() }
    }
}

fn dims(tensor: &Tensor) -> [u32; 4] {
    let mut dims = [1; 4];
    for (to, &from) in dims.iter_mut().zip(tensor.shape.dims()) {
        *to = from as u32;
    }
    dims
}

/// The lowering of one node to dispatches.
pub struct Lowering<'a> {
    tensors: &'a Tensors<'a>,
    caps: &'a Caps,
    flat: &'a dyn Fn(usize) -> Vec<u64>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: Vec<u64>,
    fused: Fused,
}

/// Requests of fused operations to the kernels of the inner operation, and a flag that they were met.
#[derive(Default)]
struct Fused {
    steps: Steps,
    steps_taken: Cell<bool>,
    statistics: Cell<Option<Operand>>,
}

impl<'a> Lowering<'a> {
    /// Starts to lower a node. `flat` gives the sizes in bytes of the pieces of a parameter group's flat buffers.
    pub(crate) fn new(tensors: &'a Tensors<'a>, caps: &'a Caps, flat: &'a dyn Fn(usize) -> Vec<u64>) -> Self {
        Lowering { tensors, caps, flat, dispatches: Vec::new(), scratch: Vec::new(), fused: Fused::default() }
    }

    /// Capabilities of the device.
    pub fn caps(&self) -> &'a Caps {
        self.caps
    }

    /// Number of inputs, without those of the epilogue's steps.
    pub fn input_count(&self) -> usize {
        self.tensors.inputs.len() - self.fused.steps.operands()
    }

    /// Description of input `i`.
    pub fn input_tensor(&self, i: usize) -> &'a Tensor {
        self.tensors.input(i)
    }

    /// Extents of input `i` as [N, C, H, W], 1 for missing ones.
    pub fn input_dims(&self, i: usize) -> [u32; 4] {
        self.tensors.input_dims(i)
    }

    /// Extents of output `i` as [N, C, H, W], 1 for missing ones.
    pub fn output_dims(&self, i: usize) -> [u32; 4] {
        self.tensors.output_dims(i)
    }

    /// Number of elements of output `i`.
    pub fn output_len(&self, i: usize) -> u64 {
        self.tensors.output(i).shape.len() as u64
    }

    /// The whole input `i`.
    pub fn input(&self, i: usize) -> Operand {
        self.input_piece(i, 0)
    }

    /// The whole input `i`, if there is one, such as an optional bias.
    pub fn optional_input(&self, i: usize) -> Option<Operand> {
        (i < self.input_count()).then(|| self.input(i))
    }

    /// The whole output `i`.
    pub fn output(&self, i: usize) -> Operand {
        self.output_piece(i, 0)
    }

    /// Piece `piece` of input `i`.
    pub fn input_piece(&self, i: usize, piece: usize) -> Operand {
        Operand::Tensor { id: self.tensors.inputs[i].0, piece }
    }

    /// Piece `piece` of output `i`.
    pub fn output_piece(&self, i: usize, piece: usize) -> Operand {
        Operand::Tensor { id: self.tensors.outputs[i].0, piece }
    }

    /// The tensor `i` that the node updates in place.
    pub fn update(&self, i: usize) -> Operand {
        Operand::Tensor { id: self.tensors.updates[i].0, piece: 0 }
    }

    /// The pieces of input `i`.
    pub fn input_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tensors.input(i), self.caps)
    }

    /// The pieces of output `i`.
    pub fn output_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tensors.output(i), self.caps)
    }

    /// Sizes in bytes of the pieces of a group's flat buffers.
    pub fn flat_pieces(&self, group: usize) -> Vec<u64> {
        (self.flat)(group)
    }

    /// Allocates a workspace of `bytes` bytes that lives while the node runs.
    pub fn scratch(&mut self, bytes: u64) -> Operand {
        self.scratch.push(bytes);
        Operand::Scratch(self.scratch.len() - 1)
    }

    /// The epilogue for every kernel that stores elements of this piece of output 0. Operations whose
    /// [`has_epilogue`](crate::graph::Operation::has_epilogue) is true apply it.
    pub fn epilogue(&self, piece: usize) -> Epilogue {
        self.fused.steps_taken.set(true);
        let first = self.input_count();
        let operands = (first..self.tensors.inputs.len()).map(|i| self.input_piece(i, piece));
        Epilogue::new(self.fused.steps, operands)
    }

    /// Destination for the statistics of whole chunks of output 0, if they were requested. The caller must store them
    /// there.
    pub(crate) fn take_statistics(&self) -> Option<Operand> {
        self.fused.statistics.take()
    }

    /// Requests `steps`, whose operands are the last inputs.
    pub(crate) fn want_steps(&mut self, steps: Steps) {
        self.fused.steps = steps;
    }

    /// True if a kernel has taken the requested steps.
    pub(crate) fn steps_are_taken(&self) -> bool {
        self.fused.steps_taken.get()
    }

    /// Requests statistics of output 0 in `partials`.
    pub(crate) fn want_statistics(&mut self, partials: Operand) {
        self.fused.statistics.set(Some(partials));
    }

    /// Appends a dispatch.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }
}
