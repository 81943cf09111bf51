//! Memory layout of parameters: one flat buffer per parameter group, in pieces that fit a binding; gradients and
//! momentum alike.

use std::collections::HashMap;

use super::{Buffer, Span};
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::kernel::{Caps, FlatBuffer, Pieces, tensor_pieces, too_large};
use crate::shape::{Layout, Shape};
use crate::tensor::{Role, Tensor};

/// Alignment of every tensor in a flat buffer, in bytes: WebGPU's largest alignment of a binding's offset.
const ALIGNMENT: u64 = 256;

/// Position of one parameter in the flat buffers.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Shape of the parameter.
    pub shape: Shape,
    /// Order of its elements in memory.
    pub layout: Layout,
    /// Index of its parameter group.
    pub group: usize,
    /// For each of its pieces, the flat buffer's piece, the offset and the size in bytes.
    pub chunks: Vec<(usize, u64, u64)>,
}

/// Positions of all parameters of a model, for every tape over them.
///
/// It is created from the training tape, whose optimizer defines the groups. A tape for evaluation may use it too.
#[derive(Clone, Debug, Default)]
pub struct ParameterLayout {
    names: Vec<String>,
    placements: HashMap<String, Placement>,
    /// Sizes in bytes of the pieces, by group. The last group holds the parameters that are not updated.
    groups: Vec<Vec<u64>>,
    /// True if gradients are accumulated over several batches.
    accumulates: bool,
    /// Names of the optimizer's per-parameter state.
    optimizer: Vec<&'static str>,
}

impl ParameterLayout {
    /// Lays out the parameters of `tape` for a device with these limits.
    pub fn new(tape: &Tape, caps: &Caps) -> Result<Self> {
        let group_of = |tensor: &Tensor| match tensor.role {
            Role::Parameter { group, .. } => group,
            _ => None,
        };
        let parameters: Vec<&Tensor> = tape.parameters().into_iter().map(|id| tape.tensor(id)).collect();
        let updated = parameters.iter().filter_map(|&tensor| group_of(tensor)).max().map_or(0, |g| g + 1);
        let limit = caps.max_binding.min(caps.max_buffer) / ALIGNMENT * ALIGNMENT;
        let accumulates = tape.tensors().iter().any(|tensor| matches!(tensor.role, Role::Accumulated { .. }));
        let mut optimizer: Vec<&'static str> = Vec::new();
        for tensor in tape.tensors() {
            match tensor.role {
                Role::OptimizerBuffer { name, .. } if !optimizer.contains(&name) => optimizer.push(name),
                _ => {}
            }
        }
        let groups = vec![Vec::new(); updated + 1];
        let mut layout = ParameterLayout { groups, accumulates, optimizer, ..ParameterLayout::default() };
        for tensor in parameters {
            let group = group_of(tensor).unwrap_or(updated);
            let sizes = &mut layout.groups[group];
            let mut chunks = Vec::new();
            let pieces = pieces(tensor, caps)?;
            let row_bytes = tensor.bytes() / *pieces.bounds.last().expect("pieces have an end") as u64;
            for (_, rows) in pieces.rows() {
                let bytes = rows as u64 * row_bytes;
                let padded = bytes.next_multiple_of(ALIGNMENT);
                match sizes.last_mut() {
                    Some(size) if *size + padded <= limit => *size += padded,
                    _ => sizes.push(padded),
                }
                let end = *sizes.last().expect("just pushed");
                chunks.push((sizes.len() - 1, end - padded, bytes));
            }
            layout.names.push(tensor.name.clone());
            layout.placements.insert(
                tensor.name.clone(),
                Placement { shape: tensor.shape.clone(), layout: tensor.layout, group, chunks },
            );
        }
        Ok(layout)
    }

    /// Names of the parameters in order of declaration.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the position of the parameter called `name`.
    pub fn placement(&self, name: &str) -> Result<&Placement> {
        self.placements.get(name).ok_or_else(|| Error::name(name, "the parameter store has no parameter of that name"))
    }

    /// Number of groups, including the group of parameters that are not updated.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// All flat buffers that a group may have.
    pub fn buffers(&self) -> Vec<FlatBuffer> {
        let kept = self.optimizer.iter().map(|&name| FlatBuffer::Optimizer(name));
        [FlatBuffer::Parameter, FlatBuffer::Gradient, FlatBuffer::Accumulated].into_iter().chain(kept).collect()
    }

    /// Returns the flat buffer of the optimizer's state called `name`.
    pub fn optimizer_buffer(&self, name: &str) -> Result<FlatBuffer> {
        let known = self.optimizer.iter().find(|&&known| known == name);
        known.map(|&name| FlatBuffer::Optimizer(name)).ok_or_else(|| {
            let kept = self.optimizer.join(", ");
            Error::name(name, format!("the parameter store's optimizer keeps nothing of that name; it keeps: {kept}"))
        })
    }

    /// True if an optimizer updates `group`, which then has gradients and optimizer state.
    pub fn updated(&self, group: usize) -> bool {
        group + 1 < self.groups.len()
    }

    /// True if `group` has a flat buffer of this kind.
    pub fn has(&self, buffer: FlatBuffer, group: usize) -> bool {
        match buffer {
            FlatBuffer::Parameter => true,
            FlatBuffer::Gradient => self.updated(group),
            FlatBuffer::Optimizer(name) => self.updated(group) && self.optimizer.contains(&name),
            FlatBuffer::Accumulated => self.updated(group) && self.accumulates,
        }
    }

    /// Sizes in bytes of the pieces of a group's flat buffers.
    pub fn pieces(&self, group: usize) -> &[u64] {
        &self.groups[group]
    }

    /// Total bytes of all flat buffers of one kind.
    pub fn bytes(&self, buffer: FlatBuffer) -> u64 {
        (0..self.groups.len()).filter(|&group| self.has(buffer, group)).flat_map(|group| &self.groups[group]).sum()
    }

    /// The pieces of `parameter` (or of its gradient or momentum buffer).
    pub(super) fn spans(&self, buffer: FlatBuffer, parameter: &Tensor) -> Result<Vec<Span>> {
        let placement = self.placement(&parameter.name)?;
        if placement.shape != parameter.shape || placement.layout != parameter.layout {
            let message = format!("the tape declares {}, the parameter store has {}", parameter.shape, placement.shape);
            let error = Error::shape("parameter", parameter.name.clone(), message);
            return Err(error.between(&parameter.shape, &placement.shape));
        }
        if !self.has(buffer, placement.group) {
            let message = match self.updated(placement.group) {
                true if matches!(buffer, FlatBuffer::Optimizer(_)) => {
                    "the tape's optimizer keeps what that of the parameter store does not"
                }
                true => "the tape accumulates its gradients, the parameter store was made for a tape that does not",
                false => "the tape trains this parameter, the parameter store was made for a tape that does not",
            };
            return Err(Error::name(&parameter.name, message));
        }
        let span = |&(piece, offset, bytes): &(usize, u64, u64)| Span {
            buffer: Buffer::Flat { buffer, group: placement.group, piece },
            offset,
            bytes,
        };
        Ok(placement.chunks.iter().map(span).collect())
    }
}

/// The pieces of a parameter. Only matrices are cut: the rows of a convolution's weight are not contiguous in memory.
fn pieces(tensor: &Tensor, caps: &Caps) -> Result<Pieces> {
    let pieces = tensor_pieces(tensor, caps)?;
    if pieces.len() > 1 && tensor.layout != Layout::RowMajor {
        return Err(too_large(tensor, caps.max_binding.min(caps.max_buffer)));
    }
    Ok(pieces)
}
