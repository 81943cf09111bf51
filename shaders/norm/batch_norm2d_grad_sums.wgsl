// The first step of batch_norm2d's gradients: for each chunk of rows and channel the sums over rows of
//     grad_output * normalised,   grad_output        with normalised = (input - mean) / sqrt(variance + eps)
//
// input, grad_output: [rows, columns]; statistics: [2, columns]; partials: [chunks, 2, columns].
// One invocation owns one chunk of one column of E. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, norm/batch_norm2d_chunks.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(STATISTICS) var<storage, read> statistics: array<E>;
@group(0) @binding(PARTIALS) var<storage, read_write> partials: array<E>;

fn count() -> u32 {
    return chunk_count() * params.columns;
}

fn each(i: u32) {
    let chunk = i / params.columns;
    let column = i - chunk * params.columns;
    let rows = rows_of_chunk(chunk);
    let first = chunk * params.chunk * params.columns + column;
    let mean = statistics[column];

    var products = E(0);
    var sum = E(0);
    for (var row = 0u; row < rows; row++) {
        let at = first + row * params.columns;
        let dy = grad_output[at];
        products += dy * (input[at] - mean);
        sum += dy;
    }
    partials[chunk * 2 * params.columns + column] = products * statistics[params.columns + column];
    partials[(chunk * 2 + 1) * params.columns + column] = sum;
}
