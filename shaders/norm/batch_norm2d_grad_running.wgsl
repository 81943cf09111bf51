// batch_norm2d's gradient by its input in evaluation, where the statistics are constants:
//     grad_input = weight / sqrt(variance + eps) * grad_output
//
// grad_output, grad_input: [rows, columns]; statistics: [2, columns].
// One invocation owns ROWS_EACH E of grad_input in one column (norm/batch_norm2d_rows.wgsl). No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, norm/batch_norm2d_rows.wgsl, norm/channel_weight.wgsl or norm/channel_weight_none.wgsl. Header: E, ROWS_EACH, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(STATISTICS) var<storage, read> statistics: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn each(i: u32) {
    let column = column_of(i);
    let factor = statistics[params.columns + column] * weight_of(column);
    let apart = count();
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * apart;
        if at < params.rows * params.columns {
            grad_input[at] = factor * grad_output[at];
        }
    }
}
