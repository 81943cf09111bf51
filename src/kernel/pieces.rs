//! Tensors too large for one binding, cut into pieces by rows.

use crate::error::{Error, Result};
use crate::kernel::Caps;
use crate::tensor::Tensor;

/// The pieces of a tensor too large for one binding: runs of whole rows (of its outermost extent).
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// First row of each piece, followed by the number of rows.
    pub bounds: Vec<usize>,
}

impl Pieces {
    /// First row and number of rows of each piece.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.bounds.windows(2).map(|w| (w[0], w[1] - w[0]))
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// True if there are no pieces.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts `rows` rows of `row_bytes` bytes so that no piece is larger than `limit`. If there are several pieces, each
    /// has a multiple of 64 rows, which keeps every piece's size a multiple of 256 bytes.
    pub fn cut(rows: usize, row_bytes: u64, limit: u64) -> Option<Self> {
        let total = rows as u64 * row_bytes;
        if total <= limit {
            return Some(Pieces { bounds: vec![0, rows] });
        }
        let step = (limit / row_bytes.max(1) / 64 * 64) as usize;
        if step == 0 {
            return None;
        }
        let mut bounds: Vec<usize> = (0..rows).step_by(step).collect();
        bounds.push(rows);
        Some(Pieces { bounds })
    }
}

/// Cuts a tensor for a device of these limits. A single row that is too large is an error.
pub(crate) fn tensor_pieces(tensor: &Tensor, caps: &Caps) -> Result<Pieces> {
    let rows = tensor.shape.dims().first().copied().unwrap_or(1).max(1);
    let limit = caps.max_binding.min(caps.max_buffer);
    Pieces::cut(rows, tensor.bytes() / rows as u64, limit).ok_or_else(|| too_large(tensor, limit))
}

/// The error for a tensor too large for a binding of `limit` bytes.
pub(crate) fn too_large(tensor: &Tensor, limit: u64) -> Error {
    over_a_binding(format!("tensor \"{}\" {}", tensor.name, tensor.shape), tensor.bytes(), limit)
}

/// The error for `bytes` bytes of something too large for a binding of `limit` bytes.
pub(crate) fn over_a_binding(what: String, bytes: u64, limit: u64) -> Error {
    Error::too_large(what, bytes, limit, "in one binding", "use a smaller batch or layer")
}
