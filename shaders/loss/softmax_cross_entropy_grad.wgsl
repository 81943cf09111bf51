// The gradient of the cross-entropy by the logits: s times the slope of loss/softmax_cross_entropy_row.wgsl, with s =
// grad_output / sum of weights for the mean, grad_output for the sum; 0 in a row that does not count.
//
// grad_output: [1]; grad_logits: [rows, classes]; row_results, totals: loss/softmax_cross_entropy.wgsl,
// loss/softmax_cross_entropy_totals.wgsl.
// One invocation owns one logit. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, loss/softmax_cross_entropy_row.wgsl. Header: T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(ROW_RESULTS) var<storage, read> row_results: array<T>;
@group(0) @binding(TOTALS) var<storage, read> totals: array<T>;
@group(0) @binding(GRAD_LOGITS) var<storage, read_write> grad_logits: array<T>;

fn count() -> u32 {
    return params.rows * params.classes;
}

fn each(i: u32) {
    let row = divide(i, params.classes);
    if row_results[row * 6 + 3] == T(0) {
        grad_logits[i] = T(0);
        return;
    }
    var scale = grad_output[0];
    if params.mean != 0u {
        scale /= totals[1];
    }
    let class_index = i - row * params.classes;
    grad_logits[i] = scale * slope_of(row, class_index, row_results[row * 6 + 1], row_results[row * 6 + 4], row_results[row * 6 + 5]);
}
