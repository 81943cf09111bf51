// The gradient of the cross-entropy by the logits: s times the slope of loss/softmax_cross_entropy_row.wgsl, with s =
// grad_output / sum of weights for the mean, grad_output for the sum; 0 in a row that is not counted.
//
// grad_output: [1]; grad_logits: [rows, classes]; row_results, totals: loss/softmax_cross_entropy.wgsl,
// loss/softmax_cross_entropy_totals.wgsl.
// One invocation owns four logits: one E of four if their number allows it, or four of one. No workgroup memory, no
// barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, loss/softmax_cross_entropy_row.wgsl. Header: ACC, E, E_LEN, E_parts, T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(ROW_RESULTS) var<storage, read> row_results: array<T>;
@group(0) @binding(TOTALS) var<storage, read> totals: array<T>;
@group(0) @binding(GRAD_LOGITS) var<storage, read_write> grad_logits: array<E>;

const PARTS: u32 = 4 / E_LEN;

fn len() -> u32 {
    return params.rows * params.classes;
}

fn count() -> u32 {
    return (len() + 3) / 4;
}

fn slope_at(i: u32, scale: T) -> ACC {
    let row = divide(i, params.classes);
    let log_sum = LogSum(row_results[row * 7 + 4], row_results[row * 7 + 5]);
    let slope = slope_of(row, i - row * params.classes, row_results[row * 7 + 1], log_sum, row_results[row * 7 + 6]);
    // Uncounted rows stay 0, even if all rows are uncounted and the scale is not finite.
    return ACC(select(scale * slope, T(0), row_results[row * 7 + 3] == T(0)));
}

fn each(item: u32) {
    var scale = grad_output[0];
    if params.mean != 0u {
        scale /= totals[1];
    }
    let i = item * 4;
    let last = len() - 1;
    let parts = E_parts(vec4<ACC>(
        slope_at(i, scale),
        slope_at(min(i + 1, last), scale),
        slope_at(min(i + 2, last), scale),
        slope_at(min(i + 3, last), scale),
    ));
    for (var part = 0u; part < PARTS; part++) {
        if i + part <= last {
            grad_logits[item * PARTS + part] = E(parts[part]);
        }
    }
}
