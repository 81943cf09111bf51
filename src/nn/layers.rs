//! Layers with parameters, and layers that only apply windows or change shapes.

use super::Module;
use crate::error::{Error, Result};
use crate::graph::Tape;
pub use crate::ops::flatten::Flatten;
pub use crate::ops::log_softmax::LogSoftmax;
use crate::ops::{avg_pool2d as avg, conv2d as conv, max_pool2d as max};
use crate::rng::Init;
use crate::shape::Layout;
use crate::tensor::TensorId;

/// Initialisation of a layer's weight. The bias has PyTorch's default unless it is set to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WeightInit {
    /// PyTorch's default, U(±1/√fan_in).
    #[default]
    Kaiming,
    /// Xavier uniform, U(±√(6 / (fan_in + fan_out))).
    Xavier,
    /// kaiming_normal_(mode="fan_out", nonlinearity="relu"), N(0, 2 / fan_out), as in torchvision's convolutions.
    KaimingNormal,
    /// N(0, std²).
    Normal(f32),
}

impl WeightInit {
    fn init(self, fan_in: usize, fan_out: usize) -> Init {
        match self {
            WeightInit::Kaiming => Init::kaiming_uniform(fan_in),
            WeightInit::Xavier => Init::xavier_uniform(fan_in, fan_out),
            WeightInit::KaimingNormal => Init::Normal((2.0 / fan_out.max(1) as f32).sqrt()),
            WeightInit::Normal(std) => Init::Normal(std),
        }
    }
}

/// Presence and initialisation of a bias.
#[derive(Clone, Copy, Debug)]
enum Bias {
    None,
    /// PyTorch's default, U(±1/√fan_in).
    Uniform,
    Zero,
}

impl Bias {
    fn declare(self, tape: &mut Tape, len: usize, fan_in: usize) -> Result<Option<TensorId>> {
        let init = match self {
            Bias::None => return Ok(None),
            Bias::Uniform => Init::kaiming_uniform(fan_in),
            Bias::Zero => Init::Constant(0.0),
        };
        tape.parameter("bias", [len], Layout::RowMajor, init).map(Some)
    }
}

/// torch.nn.Conv2d: parameters `weight` [out, in/groups, kernel_h, kernel_w] and `bias` \[out\].
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    in_channels: usize,
    out_channels: usize,
    kernel: [usize; 2],
    conv: conv::Conv2dAttributes,
    bias: Bias,
    init: WeightInit,
}

impl Conv2d {
    /// Creates a convolution with a square kernel, stride 1, no padding, with bias.
    pub fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Conv2d {
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            conv: conv::Conv2dAttributes::default(),
            bias: Bias::Uniform,
            init: WeightInit::default(),
        }
    }

    /// Sets the kernel's height and width.
    pub fn kernel(mut self, kernel: [usize; 2]) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the stride of both axes.
    pub fn stride(mut self, stride: usize) -> Self {
        self.conv.stride = [stride; 2];
        self
    }

    /// Sets the padding of all four sides.
    pub fn padding(mut self, padding: usize) -> Self {
        self.conv.padding = [padding; 4];
        self
    }

    /// Sets the dilation of both axes.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.conv.dilation = [dilation; 2];
        self
    }

    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.conv.groups = groups;
        self
    }

    /// Sets stride, padding, dilation and groups at once, for each axis and side separately.
    pub fn attributes(mut self, conv: conv::Conv2dAttributes) -> Self {
        self.conv = conv;
        self
    }

    /// Enables or disables the bias.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = if bias { Bias::Uniform } else { Bias::None };
        self
    }

    /// Adds a bias that starts at zero.
    pub fn zero_bias(mut self) -> Self {
        self.bias = Bias::Zero;
        self
    }

    /// Sets the weight's initialisation.
    pub fn init(mut self, init: WeightInit) -> Self {
        self.init = init;
        self
    }
}

impl Module for Conv2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let groups = self.conv.groups;
        if groups == 0 || !self.in_channels.is_multiple_of(groups) {
            return Err(Error::Attribute {
                op: "conv2d",
                name: tape.full_name(""),
                message: format!("groups {groups} must divide the {} input channels", self.in_channels),
            });
        }
        let [kernel_h, kernel_w] = self.kernel;
        // The tape refuses what is too large.
        let (in_group, area) = (self.in_channels / groups, kernel_h.saturating_mul(kernel_w));
        let shape = [self.out_channels, in_group, kernel_h, kernel_w];
        let (fan_in, fan_out) = (in_group.saturating_mul(area), self.out_channels.saturating_mul(area));
        let weight = tape.parameter("weight", shape, Layout::Hwio, self.init.init(fan_in, fan_out))?;
        let bias = self.bias.declare(tape, self.out_channels, fan_in)?;
        tape.conv2d("", input, weight, bias, self.conv)
    }
}

/// torch.nn.Linear: parameters `weight` [out, in] and `bias` \[out\].
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    bias: Bias,
    init: WeightInit,
}

impl Linear {
    /// Creates a linear layer with bias.
    pub fn new(in_features: usize, out_features: usize) -> Self {
        Linear { in_features, out_features, bias: Bias::Uniform, init: WeightInit::default() }
    }

    /// Enables or disables the bias.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = if bias { Bias::Uniform } else { Bias::None };
        self
    }

    /// Adds a bias that starts at zero.
    pub fn zero_bias(mut self) -> Self {
        self.bias = Bias::Zero;
        self
    }

    /// Sets the weight's initialisation.
    pub fn init(mut self, init: WeightInit) -> Self {
        self.init = init;
        self
    }
}

impl Module for Linear {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let shape = [self.out_features, self.in_features];
        let init = self.init.init(self.in_features, self.out_features);
        let weight = tape.parameter("weight", shape, Layout::RowMajor, init)?;
        let bias = self.bias.declare(tape, self.out_features, self.in_features)?;
        tape.linear("", input, weight, bias)
    }
}

/// torch.nn.MaxPool2d.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    pool: max::MaxPool2dAttributes,
}

impl MaxPool2d {
    /// Creates a pooling with square windows of side `kernel`, stride `kernel`, no padding.
    pub fn new(kernel: usize) -> Self {
        MaxPool2d { pool: max::MaxPool2dAttributes::new([kernel; 2]) }
    }

    /// Sets the stride of both axes.
    pub fn stride(mut self, stride: usize) -> Self {
        self.pool.stride = [stride; 2];
        self
    }

    /// Sets the padding of all four sides. A padded position is never the maximum.
    pub fn padding(mut self, padding: usize) -> Self {
        self.pool.padding = [padding; 2];
        self
    }

    /// Sets the dilation of both axes.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.pool.dilation = [dilation; 2];
        self
    }

    /// Enables or disables a last window that starts inside but ends outside.
    pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.pool.ceil_mode = ceil_mode;
        self
    }

    /// Sets all attributes at once, for each axis separately.
    pub fn attributes(mut self, pool: max::MaxPool2dAttributes) -> Self {
        self.pool = pool;
        self
    }
}

impl Module for MaxPool2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.max_pool2d("", input, self.pool)
    }
}

/// torch.nn.AvgPool2d.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d {
    pool: avg::AvgPool2dAttributes,
}

impl AvgPool2d {
    /// Creates a pooling with square windows of side `kernel`, stride `kernel`, no padding.
    pub fn new(kernel: usize) -> Self {
        AvgPool2d { pool: avg::AvgPool2dAttributes::new([kernel; 2]) }
    }

    /// Sets the stride of both axes.
    pub fn stride(mut self, stride: usize) -> Self {
        self.pool.stride = [stride; 2];
        self
    }

    /// Sets the zero padding of all four sides.
    pub fn padding(mut self, padding: usize) -> Self {
        self.pool.padding = [padding; 2];
        self
    }

    /// Enables or disables a last window that starts inside but ends outside.
    pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.pool.ceil_mode = ceil_mode;
        self
    }

    /// Includes or excludes the padding's zeros in the mean.
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.pool.count_include_pad = count;
        self
    }

    /// Sets the divisor of the sums, in place of the window's size.
    pub fn divisor_override(mut self, divisor: usize) -> Self {
        self.pool.divisor_override = Some(divisor);
        self
    }

    /// Sets all attributes at once, for each axis separately.
    pub fn attributes(mut self, pool: avg::AvgPool2dAttributes) -> Self {
        self.pool = pool;
        self
    }
}

impl Module for AvgPool2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.avg_pool2d("", input, self.pool)
    }
}

/// torch.nn.AdaptiveAvgPool2d: average pooling to an output of this height and width.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d(pub [usize; 2]);

impl Module for AdaptiveAvgPool2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.adaptive_avg_pool2d("", input, self.0)
    }
}

/// torch.nn.Dropout with this probability; the identity on a tape for evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Dropout(pub f64);

impl Module for Dropout {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.dropout("", input, self.0)
    }
}

impl Module for Flatten {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.flatten("", input)
    }
}

/// torch.nn.ZeroPad2d: rows and columns of zeros at top, bottom, left and right; a negative number crops. PyTorch lists
/// left and right first.
#[derive(Clone, Copy, Debug)]
pub struct ZeroPad2d(pub [isize; 4]);

impl ZeroPad2d {
    /// Creates a padding with the same number of zeros on all four sides.
    pub fn new(padding: isize) -> Self {
        ZeroPad2d([padding; 4])
    }
}

impl Module for ZeroPad2d {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.zero_pad2d("", input, self.0)
    }
}

/// torch.nn.Upsample in its default mode, nearest: each pixel becomes this number of equal rows and columns.
#[derive(Clone, Copy, Debug)]
pub struct Upsample(pub [usize; 2]);

impl Upsample {
    /// Creates an upsampling with the same factor for both axes.
    pub fn new(scale_factor: usize) -> Self {
        Upsample([scale_factor; 2])
    }
}

impl Module for Upsample {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.upsample("", input, self.0)
    }
}

impl Module for LogSoftmax {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.log_softmax("", input)
    }
}

/// torch.nn.Identity: returns its input, in place of a removed layer.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Module for Identity {
    fn forward(&self, _: &mut Tape, input: TensorId) -> Result<TensorId> {
        Ok(input)
    }
}
