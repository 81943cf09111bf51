//! The golden values of the operations beside convolution and pooling.
