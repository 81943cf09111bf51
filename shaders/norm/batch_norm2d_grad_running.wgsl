// batch_norm2d's gradient by its input in evaluation, where the statistics are constants:
//     grad_input = weight / sqrt(variance + eps) * grad_output
//
// grad_output, grad_input: [rows, columns]; statistics: [2, columns].
// One invocation owns ROWS_EACH E of grad_input in one column, so that it reads the column's statistics once; its rows lie
// far apart, so that neighbours read neighbours. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> grad_output: array<E>;
@group(0) @binding(2) var<storage, read> statistics: array<E>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    let groups_of_rows = (params.rows + ROWS_EACH - 1) / ROWS_EACH;
    if i >= groups_of_rows * params.columns { return; }
    let column = i - divide(i, params.columns) * params.columns;
    let factor = statistics[params.columns + column] * weight_of(column);
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * groups_of_rows * params.columns;
        if at < params.rows * params.columns {
            grad_input[at] = factor * grad_output[at];
        }
    }
}
