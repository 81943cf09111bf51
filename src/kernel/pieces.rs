//! Tensors that one binding can't hold, cut into pieces by rows.

use crate::error::{Error, Result};
use crate::kernel::Caps;
use crate::tensor::Tensor;

/// How a tensor is cut where one binding can't hold it: runs of whole rows (of its outermost extent).
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// The first row of each piece, and the number of rows at the end.
    pub bounds: Vec<usize>,
}

impl Pieces {
    /// First row and number of rows of each piece.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.bounds.windows(2).map(|w| (w[0], w[1] - w[0]))
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there is no piece.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts `rows` rows of `row_bytes` bytes so that no piece is larger than `limit`. A piece of more than one has a
    /// multiple of 64 rows, which keeps every piece's size a multiple of 256 bytes.
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

/// How a tensor is cut on a device of these limits; an error where its rows alone are too large.
pub(crate) fn tensor_pieces(tensor: &Tensor, caps: &Caps) -> Result<Pieces> {
    let rows = tensor.shape.dims().first().copied().unwrap_or(1).max(1);
    let limit = caps.max_binding.min(caps.max_buffer);
    Pieces::cut(rows, tensor.bytes() / rows as u64, limit).ok_or_else(|| too_large(tensor, limit))
}

/// The error for a tensor that a binding of `limit` bytes can't hold.
pub(crate) fn too_large(tensor: &Tensor, limit: u64) -> Error {
    over_a_binding(format!("tensor \"{}\" {}", tensor.name, tensor.shape), tensor.bytes(), limit)
}

/// The error for `bytes` bytes of something that a binding of `limit` bytes can't hold.
pub(crate) fn over_a_binding(what: String, bytes: u64, limit: u64) -> Error {
    Error::too_large(what, bytes, limit, "in one binding", "use a smaller batch or layer")
}
