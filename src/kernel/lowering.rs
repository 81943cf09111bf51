//! From a node's tensors to dispatches: operands by tensor, and what must be known of the device.

use std::cell::Cell;

use super::caps::Caps;
use super::dispatch::{Dispatch, Operand};
use super::epilogue::{Epilogue, Steps};
use super::pieces::{Pieces, tensor_pieces};
use crate::error::Result;
use crate::tensor::{Tensor, TensorId};

/// The tensors of a node: what its candidates are chosen by, and what they read and write.
#[derive(Clone, Debug, Default)]
pub struct Tensors<'a> {
    /// What the node reads.
    pub inputs: Vec<(TensorId, &'a Tensor)>,
    /// What it makes.
    pub outputs: Vec<(TensorId, &'a Tensor)>,
    /// What it changes in place.
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

    /// The extents of input `i` as [N, C, H, W], 1 for those that it does not have.
    pub fn input_dims(&self, i: usize) -> [u32; 4] {
        dims(self.input(i))
    }

    /// The extents of output `i` as [N, C, H, W], 1 for those that it does not have.
    pub fn output_dims(&self, i: usize) -> [u32; 4] {
        dims(self.output(i))
    }

    /// The same without the last `count` inputs.
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

/// A node on its way to dispatches.
pub struct Lowering<'a> {
    tensors: &'a Tensors<'a>,
    caps: &'a Caps,
    flat: &'a dyn Fn(usize) -> Vec<u64>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: Vec<u64>,
    fused: Fused,
}

/// What fused operations want of the kernels of the operation inside them, and whether they have got it.
#[derive(Default)]
struct Fused {
    steps: Steps,
    steps_taken: Cell<bool>,
    statistics: Cell<Option<Operand>>,
}

impl<'a> Lowering<'a> {
    /// Starts to lower a node; `flat` gives the sizes in bytes of the pieces of a parameter group's flat buffers.
    pub(crate) fn new(tensors: &'a Tensors<'a>, caps: &'a Caps, flat: &'a dyn Fn(usize) -> Vec<u64>) -> Self {
        Lowering { tensors, caps, flat, dispatches: Vec::new(), scratch: Vec::new(), fused: Fused::default() }
    }

    /// The device.
    pub fn caps(&self) -> &'a Caps {
        self.caps
    }

    /// How many inputs there are, without those of the epilogue's steps.
    pub fn input_count(&self) -> usize {
        self.tensors.inputs.len() - self.fused.steps.operands()
    }

    /// What is known of input `i`.
    pub fn input_tensor(&self, i: usize) -> &'a Tensor {
        self.tensors.input(i)
    }

    /// The extents of input `i` as [N, C, H, W], 1 for those that it does not have.
    pub fn input_dims(&self, i: usize) -> [u32; 4] {
        self.tensors.input_dims(i)
    }

    /// The extents of output `i` as [N, C, H, W], 1 for those that it does not have.
    pub fn output_dims(&self, i: usize) -> [u32; 4] {
        self.tensors.output_dims(i)
    }

    /// How many elements output `i` has.
    pub fn output_len(&self, i: usize) -> u64 {
        self.tensors.output(i).shape.len() as u64
    }

    /// Input `i`, whole.
    pub fn input(&self, i: usize) -> Operand {
        self.input_piece(i, 0)
    }

    /// Input `i`, if there is one: a bias that may be missing.
    pub fn optional_input(&self, i: usize) -> Option<Operand> {
        (i < self.input_count()).then(|| self.input(i))
    }

    /// Output `i`, whole.
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

    /// The tensor `i` that the node changes in place.
    pub fn update(&self, i: usize) -> Operand {
        Operand::Tensor { id: self.tensors.updates[i].0, piece: 0 }
    }

    /// How input `i` is cut.
    pub fn input_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tensors.input(i), self.caps)
    }

    /// How output `i` is cut.
    pub fn output_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tensors.output(i), self.caps)
    }

    /// The sizes in bytes of the pieces of a group's flat buffers.
    pub fn flat_pieces(&self, group: usize) -> Vec<u64> {
        (self.flat)(group)
    }

    /// Memory of `bytes` bytes that lives as long as the node runs.
    pub fn scratch(&mut self, bytes: u64) -> Operand {
        self.scratch.push(bytes);
        Operand::Scratch(self.scratch.len() - 1)
    }

    /// What each kernel that stores elements of this piece of output 0 does to them before. Operations whose
    /// [`has_epilogue`](crate::graph::Operation::has_epilogue) is true apply it.
    pub fn epilogue(&self, piece: usize) -> Epilogue {
        self.fused.steps_taken.set(true);
        let first = self.input_count();
        let operands = (first..self.tensors.inputs.len()).map(|i| self.input_piece(i, piece));
        Epilogue::new(self.fused.steps, operands)
    }

    /// Where a kernel that holds whole chunks of output 0 notes their statistics, if they are wanted. Who asks has them noted.
    pub(crate) fn take_statistics(&self) -> Option<Operand> {
        self.fused.statistics.take()
    }

    /// From now on `steps` are wanted, and the last inputs are theirs.
    pub(crate) fn want_steps(&mut self, steps: Steps) {
        self.fused.steps = steps;
    }

    /// Whether a kernel has taken the steps that are wanted.
    pub(crate) fn steps_are_taken(&self) -> bool {
        self.fused.steps_taken.get()
    }

    /// From now on statistics of output 0 are wanted in `partials`.
    pub(crate) fn want_statistics(&mut self, partials: Operand) {
        self.fused.statistics.set(Some(partials));
    }

    /// Appends a dispatch.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }
}
