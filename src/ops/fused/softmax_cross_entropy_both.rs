//! The cross-entropy of few rows and its gradient in one kernel.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::loss::rows::{elements, lanes, totals_workgroup};
use crate::ops::softmax_cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad, class_weight};
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin, Value};

/// [`SoftmaxCrossEntropy`] and its gradient fused, for a grad_output of 1; a plan substitutes it for both. Outputs:
/// those of the loss, and the gradient by the logits.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxCrossEntropyBoth(pub SoftmaxCrossEntropy);

impl SoftmaxCrossEntropyBoth {
    /// True if the work is small enough for one workgroup: at most [`LONG`] elements per invocation of a card.
    pub(crate) fn is_small(logits: &Tensor) -> bool {
        let extents = logits.shape.dims().iter().map(|&extent| u32::try_from(extent)).collect::<Result<Vec<_>, _>>();
        let card = Caps::webgpu(DeviceClass::Discrete);
        match extents.as_deref() {
            Ok(&[rows, classes]) => {
                rows <= MOST_ROWS && classes <= 1 << 12 && elements_of(&card, [rows, classes]) <= LONG
            }
            _ => false,
        }
    }
}

/// Maximum number of rows of such a loss, for whose results there is room.
const MOST_ROWS: u32 = 256;
/// Maximum number of elements per invocation.
const LONG: u32 = 64;

/// Number of elements per invocation: two passes over the classes of its rows, then its part of the gradient.
fn elements_of(caps: &Caps, [rows, classes]: [u32; 2]) -> u32 {
    let (lanes, width) = (lanes(caps, classes), totals_workgroup(caps));
    let rows_each = rows.div_ceil(width / lanes);
    let gradient = (rows * classes).div_ceil(width);
    rows_each * elements(lanes, classes, [2, 2]) + rows.div_ceil(width) + width.ilog2() + gradient
}

impl Operation for SoftmaxCrossEntropyBoth {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        let mut specs = self.0.infer(inputs)?;
        specs.push(Spec::like(inputs[0]));
        Ok(specs)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(lowering.input_dims(0));
        let weighted = lowering.input_count() == 3;
        let operands: Vec<_> = (0..lowering.input_count()).map(|i| lowering.input(i)).collect();
        let (loss, totals, grad_logits) = (lowering.output(0), lowering.output(2), lowering.output(3));
        let files = [
            source!("fused/softmax_cross_entropy_both.wgsl"),
            source!("loss/softmax_cross_entropy_sums.wgsl"),
            source!("loss/softmax_cross_entropy_row.wgsl"),
            source!("lib/softmax_largest.wgsl"),
            source!("lib/largest.wgsl"),
            source!("lib/nan.wgsl"),
            source!("lib/divide.wgsl"),
            class_weight(weighted),
        ];
        let kernel = Kernel::new("softmax_cross_entropy/both", &files)
            .constant("WG", totals_workgroup(lowering.caps()))
            .constant("ROWS", MOST_ROWS)
            .constant("LANES", lanes(lowering.caps(), params.classes))
            .elements(1);
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Workgroups(1))
                .elements(elements_of(lowering.caps(), [params.rows, params.classes]))
                .bind_all(["logits", "targets", "class_weights"].into_iter().zip(operands))
                .bind("loss", loss)
                .bind("totals", totals)
                .bind("grad_logits", grad_logits),
        );
        Ok(())
    }
}

impl Twin for SoftmaxCrossEntropyBoth {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        self.0.eval(inputs, outputs);
        let one = Value::Real(vec![R::of(1.0)]);
        let (rows, totals) = (outputs.outputs[1].clone(), outputs.outputs[2].clone());
        let shapes = &inputs.outputs;
        let mut operands = vec![(shapes[0], &one), inputs.values[0], inputs.values[1]];
        operands.extend([(shapes[1], &rows), (shapes[2], &totals)]);
        operands.extend(inputs.values.get(2));
        let inputs = Inputs { values: operands, outputs: vec![shapes[3]] };
        let mut gradient = Outputs { outputs: vec![outputs.outputs[3].clone()], updates: Vec::new() };
        SoftmaxCrossEntropyGrad(self.0).eval(&inputs, &mut gradient);
        outputs.outputs[3] = gradient.outputs.remove(0);
    }
}
