//! Matrix products: the tiles shared by all products, split-K, matmul, and the sum over rows.

pub mod column_sum;
pub mod matmul;
pub(crate) mod split_k;
pub(crate) mod tiles;
