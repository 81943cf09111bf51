//! Golden values of batch norm, dropout, adaptive pooling and depthwise convolution against the reference executor in f32.

use crate::golden::Reference;
use crate::golden_norm_files::norm_ops;

#[test]
fn norms_dropout_pooling_and_sums_with_their_gradients() {
    norm_ops(&mut Reference::default());
}
