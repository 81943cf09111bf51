// batch_norm2d's gradient by its input in training, where mean and variance depend on the input too:
//     grad_input = weight / sqrt(variance + eps) * (grad_output - (grad_bias + normalised * grad_weight) / rows)
// where grad_weight and grad_bias are the sums of those gradients, whether or not there is a weight. Source: Ioffe,
// Szegedy, "Batch normalization", arXiv 1502.03167, section 3.
//
// input, grad_output, grad_input: [rows, columns]; statistics: [2, columns]; grad_weight, grad_bias: [columns].
// One invocation owns ROWS_EACH E of grad_input in one column (norm/batch_norm2d_rows.wgsl). No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, norm/batch_norm2d_rows.wgsl, norm/channel_weight.wgsl or norm/channel_weight_none.wgsl. Header: E, ROWS_EACH, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(STATISTICS) var<storage, read> statistics: array<E>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read> grad_weight: array<E>;
@group(0) @binding(GRAD_BIAS) var<storage, read> grad_bias: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn each(i: u32) {
    let column = column_of(i);
    let inverse = statistics[params.columns + column];
    let mean = statistics[column];
    let factor = inverse * weight_of(column);
    let offset = grad_bias[column] / T(params.rows);
    let slope = inverse * grad_weight[column] / T(params.rows);
    let apart = count();
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * apart;
        if at < params.rows * params.columns {
            grad_input[at] = factor * (grad_output[at] - offset - (input[at] - mean) * slope);
        }
    }
}
