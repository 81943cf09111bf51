// The cross-entropy of each row of logits, by the formula of loss/softmax_cross_entropy_row.wgsl, which names logits and targets.
//
// rows: [rows, 6] = loss, w[t], whether the largest logit is the target's, whether the row counts, log_sum, sum of w.
// One invocation owns one row. No workgroup memory, no barrier.

@group(0) @binding(3) var<storage, read_write> rows: array<T>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.rows { return; }
    let row = row_of(i);
    rows[i * 6] = row.loss;
    rows[i * 6 + 1] = row.weight;
    rows[i * 6 + 2] = row.correct;
    rows[i * 6 + 3] = row.counts;
    rows[i * 6 + 4] = row.log_sum;
    rows[i * 6 + 5] = row.weights;
}
