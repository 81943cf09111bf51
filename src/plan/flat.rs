//! Where parameters lie: one flat buffer a parameter group, in pieces that fit a binding, gradients and momentum alike.

use std::collections::HashMap;

use super::{Buffer, Span};
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::kernel::{Caps, FlatBuffer, Pieces, tensor_pieces, too_large};
use crate::shape::{Layout, Shape};
use crate::tensor::{Role, Tensor};

/// Bytes to whose multiples every tensor in a flat buffer is padded: WebGPU's largest alignment of a binding's offset.
const ALIGNMENT: u64 = 256;

/// Where one parameter lies.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Its shape.
    pub shape: Shape,
    /// The order of its elements in memory.
    pub layout: Layout,
    /// Its parameter group.
    pub group: usize,
    /// Piece of the flat buffer, offset and bytes of each of its own pieces.
    pub chunks: Vec<(usize, u64, u64)>,
}

/// Where all parameters of a model lie, for every tape over them.
///
/// Made from the tape that trains, since its optimizer says which groups there are; a tape that only evaluates may use it too.
#[derive(Clone, Debug, Default)]
pub struct ParameterLayout {
    names: Vec<String>,
    placements: HashMap<String, Placement>,
    /// Sizes in bytes of the pieces, for each group; the last group is that of the parameters that nothing updates.
    groups: Vec<Vec<u64>>,
    /// Whether gradients are summed over several batches.
    accumulates: bool,
    /// The names of what the optimizer keeps for each parameter.
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

    /// The parameters' names in the order in which they were declared.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the parameter called `name` lies.
    pub fn placement(&self, name: &str) -> Result<&Placement> {
        self.placements.get(name).ok_or_else(|| Error::name(name, "the parameter store has no parameter of that name"))
    }

    /// How many groups there are, that of the parameters that nothing updates included.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// All flat buffers that a group may have.
    pub fn buffers(&self) -> Vec<FlatBuffer> {
        let kept = self.optimizer.iter().map(|&name| FlatBuffer::Optimizer(name));
        [FlatBuffer::Parameter, FlatBuffer::Gradient, FlatBuffer::Accumulated].into_iter().chain(kept).collect()
    }

    /// The flat buffer of what the optimizer keeps under `name`.
    pub fn optimizer_buffer(&self, name: &str) -> Result<FlatBuffer> {
        let known = self.optimizer.iter().find(|&&known| known == name);
        known.map(|&name| FlatBuffer::Optimizer(name)).ok_or_else(|| {
            let kept = self.optimizer.join(", ");
            Error::name(name, format!("the parameter store's optimizer keeps nothing of that name; it keeps: {kept}"))
        })
    }

    /// Whether an optimizer updates `group`, so that it has gradients and what the optimizer keeps.
    pub fn updated(&self, group: usize) -> bool {
        group + 1 < self.groups.len()
    }

    /// Whether `group` has a flat buffer of this kind.
    pub fn has(&self, buffer: FlatBuffer, group: usize) -> bool {
        match buffer {
            FlatBuffer::Parameter => true,
            FlatBuffer::Gradient => self.updated(group),
            FlatBuffer::Optimizer(name) => self.updated(group) && self.optimizer.contains(&name),
            FlatBuffer::Accumulated => self.updated(group) && self.accumulates,
        }
    }

    /// The sizes in bytes of the pieces of a group's flat buffers.
    pub fn pieces(&self, group: usize) -> &[u64] {
        &self.groups[group]
    }

    /// The bytes of all flat buffers of one kind.
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

/// How a parameter is cut. Only matrices are: the rows of a convolution's weight do not lie together in memory.
fn pieces(tensor: &Tensor, caps: &Caps) -> Result<Pieces> {
    let pieces = tensor_pieces(tensor, caps)?;
    if pieces.len() > 1 && tensor.layout != Layout::RowMajor {
        return Err(too_large(tensor, caps.max_binding.min(caps.max_buffer)));
    }
    Ok(pieces)
}
