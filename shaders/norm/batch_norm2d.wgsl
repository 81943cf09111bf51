// batch_norm2d's last step: output = (input - mean) / sqrt(variance + eps) * weight + bias, by channel.
// Source: torch.nn.BatchNorm2d; Ioffe, Szegedy, "Batch normalization", arXiv 1502.03167.
//
// input, output: [rows, columns]; statistics: [2, columns]; weight, bias: [columns], or 1 and 0 (lib/channel_weight.wgsl, ..).
// One invocation owns ROWS_EACH E of the output in one column, so that it reads the column's statistics once; its rows lie
// far apart, so that neighbours read neighbours. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> input: array<E>;
@group(0) @binding(2) var<storage, read> statistics: array<E>;
@group(0) @binding(3) var<storage, read_write> output: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    let groups_of_rows = (params.rows + ROWS_EACH - 1) / ROWS_EACH;
    count_batch(i);
    if i >= groups_of_rows * params.columns { return; }
    let column = i - divide(i, params.columns) * params.columns;
    let mean = statistics[column];
    let factor = statistics[params.columns + column] * weight_of(column);
    let bias = bias_of(column);
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * groups_of_rows * params.columns;
        if at < params.rows * params.columns {
            output[at] = finish(at, (input[at] - mean) * factor + bias);
        }
    }
}
