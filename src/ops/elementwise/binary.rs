//! Elementwise add, sub and mul of two tensors of one shape: residual connections, sums of gradients, gates.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, Source, source};
use crate::ops::elementwise::{Params, elementwise_dispatch, same_shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// An elementwise function of `a` and `b`, both of one shape and layout. Source: torch.add, sub and mul, without
/// broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b`.
    Mul,
}

impl Tape {
    /// Appends `a + b`, for example as a residual connection.
    pub fn add(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.binary(name, Binary::Add, a, b)
    }

    /// Appends `a - b`, element by element.
    pub fn sub(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.binary(name, Binary::Sub, a, b)
    }

    /// Appends `a b`, element by element.
    pub fn mul(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.binary(name, Binary::Mul, a, b)
    }

    /// Appends the function `binary` of `a` and `b`, element by element.
    pub fn binary(&mut self, name: &str, binary: Binary, a: TensorId, b: TensorId) -> Result<TensorId> {
        Ok(self.append(name, binary, &[a, b], &[])?[0])
    }
}

impl Binary {
    /// The file with the operation's formula.
    fn source(self) -> Source {
        match self {
            Binary::Add => source!("elementwise/add.wgsl"),
            Binary::Sub => source!("elementwise/sub.wgsl"),
            Binary::Mul => source!("elementwise/mul.wgsl"),
        }
    }
}

impl Operation for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        same_shape(inputs)
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None; 2]) };
        let mut grads = vec![None; 2];
        for i in (0..2).filter(|&i| needs[i]) {
            grads[i] = Some(match self {
                Binary::Sub if i == 1 => tape.scale(&node.name, grad_output, -1.0)?,
                Binary::Add | Binary::Sub => grad_output,
                Binary::Mul => tape.mul(&node.name, grad_output, node.inputs[1 - i])?,
            });
        }
        Ok(grads)
    }

    fn has_epilogue(&self) -> bool {
        *self == Binary::Add
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files = [self.source(), source!("elementwise/binary.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new(self.name(), &files).constant("WG", 64);
        let dispatch = elementwise_dispatch(lowering, kernel, &["a", "b"], &|len| Params { len });
        lowering.push(lowering.epilogue(0).apply(dispatch));
        Ok(())
    }
}

impl Twin for Binary {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for ((y, &a), &b) in outputs.real(0).iter_mut().zip(inputs.real(0)).zip(inputs.real(1)) {
            *y = match self {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
            };
        }
    }
}
