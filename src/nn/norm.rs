//! BatchNorm2d: trained parameters, and buffers that track the batches.

use super::Module;
use crate::graph::Tape;
use crate::ops::batch_norm2d::{BatchNorm2dAttributes as Settings, Running};
use crate::rng::Init;
use crate::shape::{DType, Layout};
use crate::tensor::TensorId;
use crate::{Error, Result};

/// torch.nn.BatchNorm2d: parameters `weight` and `bias` \[C\], buffers `running_mean`, `running_var` \[C\] and
/// `num_batches_tracked`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2d {
    channels: usize,
    settings: Settings,
    affine: bool,
}

impl BatchNorm2d {
    /// Creates a batch norm with PyTorch's defaults: eps 1e-5, momentum 0.1, weight 1 and bias 0.
    pub fn new(channels: usize) -> Self {
        BatchNorm2d { channels, settings: Settings::default(), affine: true }
    }

    /// Sets the term added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.settings.eps = eps;
        self
    }

    /// Sets the weight of a batch in the running statistics; `None` for the average over all batches.
    pub fn momentum(mut self, momentum: Option<f64>) -> Self {
        self.settings.momentum = momentum;
        self
    }

    /// Enables or disables weight and bias.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }
}

impl Module for BatchNorm2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let channels = [self.channels];
        if self.channels == 0 {
            let message = "must have at least one channel, it has 0".into();
            return Err(Error::Attribute { op: "batch_norm2d", name: tape.full_name(""), message });
        }
        let affine = match self.affine {
            true => Some((
                tape.parameter("weight", channels, Layout::RowMajor, Init::Constant(1.0))?,
                tape.parameter("bias", channels, Layout::RowMajor, Init::Constant(0.0))?,
            )),
            false => None,
        };
        let running = Running {
            mean: tape.buffer("running_mean", channels, DType::F32, 0.0)?,
            var: tape.buffer("running_var", channels, DType::F32, 1.0)?,
            batches: tape.buffer("num_batches_tracked", [1], DType::I32, 0.0)?,
        };
        tape.batch_norm2d("", input, affine, running, self.settings)
    }
}
