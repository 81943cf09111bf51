// batch_norm2d's last step: output = (input - mean) / sqrt(variance + eps) * weight + bias, by channel.
// Source: torch.nn.BatchNorm2d; Ioffe, Szegedy, "Batch normalization", arXiv 1502.03167.
//
// input, output: [rows, columns]; statistics: [2, columns]; weight, bias: [columns], or 1 and 0 (norm/channel_weight.wgsl, ..).
// One invocation owns ROWS_EACH E of the output in one column (norm/batch_norm2d_rows.wgsl). No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, norm/batch_norm2d_count.wgsl or norm/batch_norm2d_count_none.wgsl, norm/batch_norm2d_rows.wgsl, norm/channel_bias.wgsl or norm/channel_bias_none.wgsl, norm/channel_weight.wgsl or norm/channel_weight_none.wgsl. Header: E, ROWS_EACH, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(STATISTICS) var<storage, read> statistics: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn each(i: u32) {
    count_batch(i);
    let column = column_of(i);
    let mean = statistics[column];
    let factor = statistics[params.columns + column] * weight_of(column);
    let bias = bias_of(column);
    let apart = count();
    for (var j = 0u; j < ROWS_EACH; j++) {
        let at = i + j * apart;
        if at < params.rows * params.columns {
            output[at] = epilogue(at, (input[at] - mean) * factor + bias);
        }
    }
}
