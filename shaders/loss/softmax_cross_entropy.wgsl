// The cross-entropy of each row of logits, by the formula of loss/softmax_cross_entropy_row.wgsl, which names logits and targets.
//
// row_results: [rows, 6] = loss, w[t], whether the largest logit is the target's, whether the row counts, log_sum, sum of w.
// One invocation owns one row. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, loss/softmax_cross_entropy_row.wgsl. Header: T, params.

@group(0) @binding(ROW_RESULTS) var<storage, read_write> row_results: array<T>;

fn count() -> u32 {
    return params.rows;
}

fn each(i: u32) {
    let row = row_of(i);
    row_results[i * 6] = row.loss;
    row_results[i * 6 + 1] = row.weight;
    row_results[i * 6 + 2] = row.correct;
    row_results[i * 6 + 3] = row.counts;
    row_results[i * 6 + 4] = row.log_sum;
    row_results[i * 6 + 5] = row.weights;
}
