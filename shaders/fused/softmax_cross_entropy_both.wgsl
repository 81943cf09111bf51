// The cross-entropy and its gradient by the logits in one, for few rows and classes, grad_output being 1: the formulas are
// those of loss/softmax_cross_entropy_row.wgsl, loss/softmax_cross_entropy_totals.wgsl and
// loss/softmax_cross_entropy_grad.wgsl, and so is the order of every sum.
//
// totals: [4] = sum of losses, sum of weights, right predictions, rows that count; loss: [1]; grad_logits: [rows, classes].
// One workgroup; its invocation i owns the rows i, i + WG, .. and adds up all sums for itself. Workgroup memory and barrier:
// lib/workgroup_sum.wgsl, 16 WG bytes.
// Linked with: lib/workgroup_sum.wgsl, loss/softmax_cross_entropy_row.wgsl. Header: ACC, T, WG, params.

@group(0) @binding(TOTALS) var<storage, read_write> totals: array<T>;
@group(0) @binding(LOSS) var<storage, read_write> loss: array<T>;
@group(0) @binding(GRAD_LOGITS) var<storage, read_write> grad_logits: array<T>;

alias Sum = vec4<ACC>;

fn part(workgroup: u32, local: u32) -> Sum {
    var sum = Sum();
    for (var i = local; i < params.rows; i += WG) {
        let row = row_of(i);
        sum += vec4<ACC>(row.loss, row.weight, row.correct, row.counts);
        for (var c = 0u; c < params.classes; c++) {
            let slope = slope_of(i, c, row.weight, row.log_sum, row.weights);
            grad_logits[i * params.classes + c] = select(slope, T(0), row.counts == T(0));
        }
    }
    return sum;
}

fn whole(workgroup: u32, local: u32) {
    let total = sum_of_parts();
    if local == 0u {
        totals[0] = T(total.x);
        totals[1] = T(total.y);
        totals[2] = T(total.z);
        totals[3] = T(total.w);
        loss[0] = T(select(total.x, total.x / total.y, params.mean != 0u));
    }
    if params.mean == 0u { return; }
    let scale = 1 / T(total.y);
    for (var i = local; i < params.rows; i += WG) {
        for (var c = 0u; c < params.classes; c++) {
            let at = i * params.classes + c;
            // What counts for nothing stays 0, though all of it may, and the scale be no number.
            grad_logits[at] = select(scale * grad_logits[at], T(0), targets[i] == params.ignore_index);
        }
    }
}
