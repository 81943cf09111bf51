// The gradient of the cross-entropy by the logits: s times the slope of loss/softmax_cross_entropy_row.wgsl, with s = grad_output /
// sum of weights for the mean, grad_output for the sum; 0 in a row that does not count.
//
// grad_output: [1]; grad_logits: [rows, classes]; rows, totals: loss/softmax_cross_entropy.wgsl, loss/softmax_cross_entropy_totals.wgsl.
// One invocation owns one logit. No workgroup memory, no barrier.

@group(0) @binding(3) var<storage, read> grad_output: array<T>;
@group(0) @binding(4) var<storage, read> rows: array<T>;
@group(0) @binding(5) var<storage, read> totals: array<T>;
@group(0) @binding(6) var<storage, read_write> grad_logits: array<T>;

fn count() -> u32 {
    return params.rows * params.classes;
}

fn each(i: u32) {
    let row = i / params.classes;
    if rows[row * 6 + 3] == T(0) {
        grad_logits[i] = T(0);
        return;
    }
    var scale = grad_output[0];
    if params.mean != 0u {
        scale /= totals[1];
    }
    grad_logits[i] = scale * slope_of(row, i % params.classes, rows[row * 6 + 1], rows[row * 6 + 4], rows[row * 6 + 5]);
}
