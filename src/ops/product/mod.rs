//! Matrix products: the tiles that all products share, matmul, and the sum over rows.

pub mod column_sum;
pub mod matmul;
pub(crate) mod tiles;
