//! Golden values of batch norm, dropout, adaptive pooling and depthwise convolution against the device.

use crate::check::device;
use crate::golden::OnDevice;
use crate::golden_norm_files::norm_ops;

#[test]
fn norms_dropout_pooling_and_sums_with_their_gradients() {
    let Some(device) = device() else { return };
    norm_ops(&mut OnDevice::new(device));
}
