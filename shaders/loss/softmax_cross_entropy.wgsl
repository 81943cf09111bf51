// The cross-entropy of each row of logits, by the formula of loss/softmax_cross_entropy_row.wgsl, which names logits and targets.
//
// rows: [rows, 6] = loss, w[t], whether the largest logit is the target's, whether the row counts, log_sum, sum of w.
// One invocation owns one row. No workgroup memory, no barrier.

@group(0) @binding(3) var<storage, read_write> rows: array<T>;

fn count() -> u32 {
    return params.rows;
}

fn each(i: u32) {
    let row = row_of(i);
    rows[i * 6] = row.loss;
    rows[i * 6 + 1] = row.weight;
    rows[i * 6 + 2] = row.correct;
    rows[i * 6 + 3] = row.counts;
    rows[i * 6 + 4] = row.log_sum;
    rows[i * 6 + 5] = row.weights;
}
