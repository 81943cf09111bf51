// The cross-entropy of each row of logits, by the formula of loss/softmax_cross_entropy_row.wgsl, which names logits and targets.
//
// row_results: [rows, 7] = loss, w[t], 1 if the largest logit is the target's, 1 if the row counts, shift, rest,
// sum of w.
// Workgroups, invocations, workgroup memory and barriers: lib/softmax.wgsl; the sums take 16 bytes.
// Linked with: lib/largest.wgsl, lib/softmax.wgsl, loss/softmax_cross_entropy_sums.wgsl. Header: T.

@group(0) @binding(ROW_RESULTS) var<storage, read_write> row_results: array<T>;

fn whole(number: u32, lane: u32, largest: Largest, sums: Sums) {
    if lane > 0 { return; }
    let row = row_of(number, largest, sums);
    row_results[number * 7] = row.loss;
    row_results[number * 7 + 1] = row.weight;
    row_results[number * 7 + 2] = row.correct;
    row_results[number * 7 + 3] = row.counts;
    row_results[number * 7 + 4] = row.shift;
    row_results[number * 7 + 5] = row.rest;
    row_results[number * 7 + 6] = row.weights;
}
