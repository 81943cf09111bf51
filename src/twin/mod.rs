//! CPU twins: the trait for an operation in plain loops over PyTorch's element order, and the values it reads and
//! writes.
//!
//! A twin is the reference for its shaders, and the shortest definition of an operation for a reader. It is generic
//! over [`Real`]: f32 for comparison with the GPU, f64 for gradient checks. Each twin lies in its operation's module in
//! [`crate::ops`].

mod erf;

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};
use std::sync::Arc;

use rayon::prelude::*;

use crate::shape::{DType, Shape};

/// A floating-point type: f32 or f64.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// Rounds `value` to this type.
    fn of(value: f64) -> Self;
    /// Converts to f64.
    fn to_f64(self) -> f64;
    /// The natural exponential.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// Evaluates `twin` in this precision.
    fn eval<T: DynTwin + ?Sized>(twin: &T, inputs: &Inputs<'_, Self>, outputs: &mut Outputs<Self>);
}

macro_rules! real {
    ($type:ident, $eval:ident) => {
        impl Real for $type {
            fn of(value: f64) -> Self {
                value as $type
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn exp(self) -> Self {
                $type::exp(self)
            }
            fn ln(self) -> Self {
                $type::ln(self)
            }
            fn tanh(self) -> Self {
                $type::tanh(self)
            }
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            fn erf(self) -> Self {
                erf::erf(self.to_f64()) as $type
            }
            fn eval<T: DynTwin + ?Sized>(twin: &T, inputs: &Inputs<'_, Self>, outputs: &mut Outputs<Self>) {
                twin.$eval(inputs, outputs);
            }
        }
    };
}
real!(f32, eval_f32);
real!(f64, eval_f64);

/// Elements of a tensor in PyTorch's order (byte images: [height, width, channels]).
#[derive(Clone, Debug, PartialEq)]
pub enum Value<R> {
    /// Elements of an f32 tensor.
    Real(Vec<R>),
    /// Elements of an i32 tensor.
    Int(Vec<i32>),
    /// Elements of a u8 tensor, shared with the data set that they come from.
    Bytes(Arc<Vec<u8>>),
}

impl<R: Real> Value<R> {
    /// Creates `len` zeros.
    pub fn zeros(dtype: DType, len: usize) -> Self {
        match dtype {
            DType::F32 => Value::Real(vec![R::default(); len]),
            DType::I32 => Value::Int(vec![0; len]),
            DType::U8 => Value::Bytes(vec![0; len].into()),
        }
    }

    /// Creates `len` elements equal to `value`.
    pub fn filled(dtype: DType, len: usize, value: f32) -> Self {
        match dtype {
            DType::F32 => Value::Real(vec![R::of(f64::from(value)); len]),
            DType::I32 => Value::Int(vec![value as i32; len]),
            DType::U8 => Value::Bytes(vec![value as u8; len].into()),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Value::Real(values) => values.len(),
            Value::Int(values) => values.len(),
            Value::Bytes(values) => values.len(),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of an f32 tensor; empty for other types.
    pub fn real(&self) -> &[R] {
        match self {
            Value::Real(values) => values,
            _ => &[],
        }
    }
}

/// Values that a node reads, and the shapes of its outputs.
pub struct Inputs<'a, R> {
    pub(crate) values: Vec<(&'a Shape, &'a Value<R>)>,
    pub(crate) outputs: Vec<&'a Shape>,
}

impl<'a, R: Real> Inputs<'a, R> {
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Extents of input `i`.
    pub fn dims(&self, i: usize) -> &'a [usize] {
        self.values[i].0.dims()
    }

    /// Extents of input `i`, which has four.
    pub fn nchw(&self, i: usize) -> [usize; 4] {
        self.values[i].0.nchw().expect("the shape rule asked for four extents")
    }

    /// Extents of output `i`.
    pub fn output_dims(&self, i: usize) -> &'a [usize] {
        self.outputs[i].dims()
    }

    /// Extents of output `i`, which has four.
    pub fn output_nchw(&self, i: usize) -> [usize; 4] {
        self.outputs[i].nchw().expect("the shape rule gave four extents")
    }

    /// Elements of the f32 input `i`.
    pub fn real(&self, i: usize) -> &'a [R] {
        self.values[i].1.real()
    }

    /// Elements of the i32 input `i`.
    pub fn ints(&self, i: usize) -> &'a [i32] {
        match self.values[i].1 {
            Value::Int(values) => values,
            _ => &[],
        }
    }

    /// Elements of the u8 input `i`.
    pub fn bytes(&self, i: usize) -> &'a [u8] {
        match self.values[i].1 {
            Value::Bytes(values) => values,
            _ => &[],
        }
    }
}

/// Values that a node writes, and those it updates in place.
pub struct Outputs<R> {
    pub(crate) outputs: Vec<Value<R>>,
    pub(crate) updates: Vec<Value<R>>,
}

impl<R: Real> Outputs<R> {
    /// Elements of the f32 output `i`, initially zero.
    pub fn real(&mut self, i: usize) -> &mut [R] {
        match &mut self.outputs[i] {
            Value::Real(values) => values,
            _ => &mut [],
        }
    }

    /// Elements of the i32 output `i`, initially zero.
    pub fn ints(&mut self, i: usize) -> &mut [i32] {
        match &mut self.outputs[i] {
            Value::Int(values) => values,
            _ => &mut [],
        }
    }

    /// Elements of the i32 tensor `i` that is updated in place.
    pub fn update_ints(&mut self, i: usize) -> &mut [i32] {
        match &mut self.updates[i] {
            Value::Int(values) => values,
            _ => &mut [],
        }
    }

    /// Elements of the f32 tensor `i` that is updated in place.
    pub fn update(&mut self, i: usize) -> &mut [R] {
        match &mut self.updates[i] {
            Value::Real(values) => values,
            _ => &mut [],
        }
    }
}

/// The CPU implementation of an operation.
pub trait Twin {
    /// Computes the outputs, or updates tensors in place.
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>);
}

/// Object-safe form of [`Twin`], for both precisions.
pub trait DynTwin {
    /// [`Twin::eval`] in f32.
    fn eval_f32(&self, inputs: &Inputs<'_, f32>, outputs: &mut Outputs<f32>);
    /// [`Twin::eval`] in f64.
    fn eval_f64(&self, inputs: &Inputs<'_, f64>, outputs: &mut Outputs<f64>);
}

impl<T: Twin> DynTwin for T {
    fn eval_f32(&self, inputs: &Inputs<'_, f32>, outputs: &mut Outputs<f32>) {
        self.eval(inputs, outputs);
    }
    fn eval_f64(&self, inputs: &Inputs<'_, f64>, outputs: &mut Outputs<f64>) {
        self.eval(inputs, outputs);
    }
}

/// Fills `output`, [N, C, H, W], from a function of the index. Images and channels run in parallel.
pub(crate) fn fill_nchw<T: Send>(
    output: &mut [T],
    [_, c, h, w]: [usize; 4],
    value: impl Fn(usize, usize, usize, usize) -> T + Sync,
) {
    output.par_chunks_mut((h * w).max(1)).enumerate().for_each(|(plane, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = value(plane / c, plane % c, i / w, i % w);
        }
    });
}

/// Fills `output`, [N, C, H, W], plane by plane, in parallel. `fill` gets the image, the channel and a plane of zeros.
pub(crate) fn fill_planes<T: Send + Default>(
    output: &mut [T],
    [_, c, h, w]: [usize; 4],
    fill: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    output.par_chunks_mut((h * w).max(1)).enumerate().for_each(|(plane, out)| {
        out.fill_with(T::default);
        fill(plane / c, plane % c, out);
    });
}
