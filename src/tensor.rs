//! Description of a tensor: its shape, layout, element type and role.

use crate::error::{Error, Result};
use crate::rng::Init;
use crate::shape::{DType, Layout, Shape};

/// Identifies a tensor of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub(crate) usize);

/// Source and lifetime of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Written by the host before a step.
    Input,
    /// A parameter of the model, kept between steps.
    Parameter {
        /// Initial values.
        init: Init,
        /// True if gradients are computed for it.
        trainable: bool,
        /// The parameter group of the optimizer that updates it.
        group: Option<usize>,
    },
    /// A tensor of the model that the optimizer does not change, such as a running mean (PyTorch's term). It is kept
    /// between steps and saved with the parameters.
    Buffer {
        /// Initial value of every element.
        init: f32,
    },
    /// The gradient of a parameter, stored in the group's flat gradient buffer.
    Gradient {
        /// The parameter.
        of: TensorId,
    },
    /// Per-parameter state that an optimizer keeps between steps, such as its momentum buffer.
    OptimizerBuffer {
        /// The parameter.
        of: TensorId,
        /// PyTorch's name for the state.
        name: &'static str,
    },
    /// The sum of a parameter's gradients over several batches, kept between steps.
    Accumulated {
        /// The parameter.
        of: TensorId,
    },
    /// A small tensor kept between steps and shared by name, such as an accumulator. It starts at zero.
    State,
    /// A data set that stays on the device, shared by name.
    Resident,
    /// A single constant.
    Constant(f32),
    /// The output of a node. Its memory is reused after its last use.
    Activation,
}

/// Description of a tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// A name unique among the parameters, and among the inputs, of a tape.
    pub name: String,
    /// The extents in PyTorch's order.
    pub shape: Shape,
    /// Order of the elements in device memory.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
    /// Source of the values.
    pub role: Role,
}

impl Tensor {
    /// Describes the output of a node.
    pub(crate) fn activation(name: String, spec: Spec) -> Self {
        let Spec { shape, layout, dtype } = spec;
        Tensor { name, shape, layout, dtype, role: Role::Activation }
    }

    /// Size of the tensor in device memory, in bytes. Each byte image is padded to whole words.
    pub fn bytes(&self) -> u64 {
        match self.dtype {
            DType::F32 | DType::I32 => 4 * self.shape.len() as u64,
            DType::U8 => {
                let rows = self.shape.dims().first().copied().unwrap_or(1);
                let row = self.shape.len() / rows.max(1);
                (rows * row.next_multiple_of(4)) as u64
            }
        }
    }
}

/// One output of an operation, as given by its shape rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The extents in PyTorch's order.
    pub shape: Shape,
    /// Order of the elements in device memory.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
}

impl Spec {
    /// An f32 tensor: channels-last if it has four extents, else row-major.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let layout = if shape.rank() == 4 { Layout::ChannelsLast } else { Layout::RowMajor };
        Spec { shape, layout, dtype: DType::F32 }
    }

    /// An i32 tensor with the layout that [`Spec::f32`] gives.
    pub fn i32(shape: impl Into<Shape>) -> Self {
        Spec { dtype: DType::I32, ..Spec::f32(shape) }
    }

    /// A tensor with the shape, layout and type of `other`.
    pub fn like(other: &Tensor) -> Self {
        Spec { shape: other.shape.clone(), layout: other.layout, dtype: other.dtype }
    }

    pub(crate) fn tensor(self, name: String, role: Role) -> Tensor {
        Tensor { name, shape: self.shape, layout: self.layout, dtype: self.dtype, role }
    }
}

/// Host values for an input, in PyTorch's element order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values<'a> {
    /// Values of an f32 tensor.
    F32(&'a [f32]),
    /// Values of an i32 tensor.
    I32(&'a [i32]),
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I32(values) => values.len(),
        }
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Data type of the values.
    pub fn dtype(&self) -> DType {
        match self {
            Values::F32(_) => DType::F32,
            Values::I32(_) => DType::I32,
        }
    }

    /// Checks that the input `tensor` has this type and as many values.
    pub(crate) fn check(&self, tensor: &Tensor) -> Result<()> {
        if tensor.dtype == self.dtype() && tensor.shape.len() == self.len() {
            return Ok(());
        }
        let (got, dtype) = (self.len(), self.dtype());
        let mut message = format!("is {} of {:?}, got {got} values of {dtype:?}", tensor.shape, tensor.dtype);
        // The count is a whole number of rows, but not this tape's batch size.
        let rows = tensor.shape.dims().first().copied().unwrap_or(1);
        let row = tensor.shape.len() / rows.max(1);
        if tensor.dtype == dtype && rows > 1 && row > 0 && got.is_multiple_of(row) {
            message += &format!(
                ", a batch of {}: a tape is made for one batch size, {rows} here, and another size has a tape of its own",
                got / row
            );
        }
        Err(Error::shape("input", &tensor.name, message).between(&tensor.shape, got))
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(values: &'a [f32]) -> Self {
        Values::F32(values)
    }
}

impl<'a> From<&'a [i32]> for Values<'a> {
    fn from(values: &'a [i32]) -> Self {
        Values::I32(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Values<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Values::F32(values)
    }
}

impl<'a> From<&'a Vec<i32>> for Values<'a> {
    fn from(values: &'a Vec<i32>) -> Self {
        Values::I32(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Values<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Values::F32(values)
    }
}

impl<'a, const N: usize> From<&'a [i32; N]> for Values<'a> {
    fn from(values: &'a [i32; N]) -> Self {
        Values::I32(values)
    }
}
