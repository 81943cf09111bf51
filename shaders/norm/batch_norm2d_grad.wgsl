// batch_norm2d's gradient by its input, in training, where mean and variance depend on the input too:
//     grad_input = weight / sqrt(variance + eps) * (grad_output - (grad_bias + normalised * grad_weight) / rows)
// grad_weight and grad_bias being the sums that those gradients are, whether or not there is a weight.
// Source: Ioffe, Szegedy, "Batch normalization", arXiv 1502.03167, section 3.
//
// input, grad_output, grad_input: [rows, columns]; statistics: [2, columns]; grad_weight, grad_bias: [columns].
// One invocation owns ROWS_EACH E of grad_input in one column, so that it reads the column's statistics once; its rows lie
// far apart, so that neighbours read neighbours. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> input: array<E>;
@group(0) @binding(2) var<storage, read> grad_output: array<E>;
@group(0) @binding(3) var<storage, read> statistics: array<E>;
@group(0) @binding(4) var<storage, read> grad_weight: array<E>;
@group(0) @binding(5) var<storage, read> grad_bias: array<E>;
@group(0) @binding(8) var<storage, read_write> grad_input: array<E>;

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
    let inverse = statistics[params.columns + column];
    let mean = statistics[column];
    let factor = inverse * weight_of(column);
    let offset = grad_bias[column] / T(params.rows);
    let slope = inverse * grad_weight[column] / T(params.rows);
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * groups_of_rows * params.columns;
        if at < params.rows * params.columns {
            grad_input[at] = factor * (grad_output[at] - offset - (input[at] - mean) * slope);
        }
    }
}
