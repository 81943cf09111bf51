//! From a node's tensors to dispatches: operands by tensor, and what must be known of the device.

use std::cell::Cell;

use super::caps::Caps;
use super::choices::{Choices, Chosen, Key, candidates, named};
use super::dispatch::{Dispatch, Operand};
use super::pieces::{Pieces, tensor_pieces};
use crate::error::Result;
use crate::graph::{Node, Tape};
use crate::ops::fused::epilogue::{Finish, Finishing};
use crate::tensor::{Tensor, TensorId};

/// A node on its way to dispatches.
pub struct Lowering<'a> {
    tape: &'a Tape,
    node: &'a Node,
    caps: &'a Caps,
    choices: &'a Choices,
    flat: &'a dyn Fn(usize) -> Vec<u64>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: Vec<u64>,
    finish: Option<Finish>,
    finished: Cell<bool>,
}

impl<'a> Lowering<'a> {
    /// Starts to lower `node`; `flat` gives the sizes in bytes of the pieces of a parameter group's flat buffers.
    pub(crate) fn new(
        tape: &'a Tape,
        node: &'a Node,
        caps: &'a Caps,
        choices: &'a Choices,
        flat: &'a dyn Fn(usize) -> Vec<u64>,
    ) -> Self {
        Lowering {
            tape,
            node,
            caps,
            choices,
            flat,
            dispatches: Vec::new(),
            scratch: Vec::new(),
            finish: None,
            finished: Cell::new(false),
        }
    }

    /// The device.
    pub fn caps(&self) -> &Caps {
        self.caps
    }

    /// The inputs, without those of what finishes the output.
    pub fn inputs(&self) -> Vec<&'a Tensor> {
        self.node.inputs[..self.own_inputs()].iter().map(|&id| self.tape.tensor(id)).collect()
    }

    fn all_inputs(&self) -> Vec<&'a Tensor> {
        self.node.inputs.iter().map(|&id| self.tape.tensor(id)).collect()
    }

    fn own_inputs(&self) -> usize {
        self.node.inputs.len() - self.finish.map_or(0, Finish::operands)
    }

    /// From now on output 0 is to be finished, and the last inputs are for that.
    pub(crate) fn begin_finish(&mut self, finish: Finish) {
        self.finish = Some(finish);
    }

    /// Whether a kernel has been told to finish the output.
    pub(crate) fn has_finished(&self) -> bool {
        self.finished.get()
    }

    /// What each kernel that stores elements of this piece of output 0 does to them before.
    pub(crate) fn finishing(&self, piece: usize) -> Finishing {
        self.finished.set(true);
        match self.finish {
            Some(finish) => Finishing::new(finish, self, self.own_inputs(), piece),
            None => Finishing::none(),
        }
    }

    /// The variant to emit: the chosen one where it is valid, else the best.
    pub fn variant(&self) -> &'static str {
        self.variant_and_tile().0
    }

    /// The tile to compute it in, if one is chosen and valid.
    pub fn tile(&self) -> Option<&'static str> {
        self.variant_and_tile().1
    }

    fn variant_and_tile(&self) -> (&'static str, Option<&'static str>) {
        let (op, inputs) = (&*self.node.op, self.all_inputs());
        let valid = op.variants(&inputs, self.caps);
        for choice in self.choices.of(op, &inputs) {
            let (name, tile) = choice.split_once(':').unwrap_or((choice, ""));
            if let Some(&variant) = valid.iter().find(|&&variant| variant == name) {
                let tiles = op.tiles(variant, &inputs, self.caps);
                return (variant, tiles.into_iter().find(|&valid| valid == tile));
            }
        }
        (valid[0], None)
    }

    /// What was chosen from, and what is taken; `None` where there is no choice.
    pub(crate) fn chosen(&self) -> Option<Chosen> {
        let (op, inputs) = (&*self.node.op, self.all_inputs());
        let candidates = candidates(op, &inputs, self.caps);
        if candidates.len() < 2 {
            return None;
        }
        let (variant, tile) = self.variant_and_tile();
        let tile = tile.or_else(|| op.tiles(variant, &inputs, self.caps).first().copied());
        let key = Key::new(op, &inputs);
        Some(Chosen { node: self.node.clone(), key, candidates, taken: named(variant, tile) })
    }

    /// The extents of input `i` as [N, C, H, W]; the shape rule has seen to it that there are four.
    pub fn input_dims(&self, i: usize) -> [u32; 4] {
        dims(self.tape.tensor(self.node.inputs[i]))
    }

    /// The extents of output `i` as [N, C, H, W].
    pub fn output_dims(&self, i: usize) -> [u32; 4] {
        dims(self.tape.tensor(self.node.outputs[i]))
    }

    /// How many elements output `i` has.
    pub fn output_len(&self, i: usize) -> u64 {
        self.tape.shape(self.node.outputs[i]).len() as u64
    }

    /// Input `i`, whole.
    pub fn input(&self, i: usize) -> Operand {
        self.piece_of(self.node.inputs[i], 0)
    }

    /// Output `i`, whole.
    pub fn output(&self, i: usize) -> Operand {
        self.piece_of(self.node.outputs[i], 0)
    }

    /// Piece `piece` of input `i`.
    pub fn input_piece(&self, i: usize, piece: usize) -> Operand {
        self.piece_of(self.node.inputs[i], piece)
    }

    /// Piece `piece` of output `i`.
    pub fn output_piece(&self, i: usize, piece: usize) -> Operand {
        self.piece_of(self.node.outputs[i], piece)
    }

    /// The tensor `i` that the node changes in place.
    pub fn update(&self, i: usize) -> Operand {
        self.piece_of(self.node.updates[i], 0)
    }

    fn piece_of(&self, id: TensorId, piece: usize) -> Operand {
        Operand::Tensor { id, piece }
    }

    /// How input `i` is cut.
    pub fn input_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tape.tensor(self.node.inputs[i]), self.caps)
    }

    /// How output `i` is cut.
    pub fn output_pieces(&self, i: usize) -> Result<Pieces> {
        tensor_pieces(self.tape.tensor(self.node.outputs[i]), self.caps)
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

    /// Appends a dispatch.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }
}

fn dims(tensor: &Tensor) -> [u32; 4] {
    let mut dims = [1; 4];
    for (to, &from) in dims.iter_mut().zip(tensor.shape.dims()) {
        *to = from as u32;
    }
    dims
}
