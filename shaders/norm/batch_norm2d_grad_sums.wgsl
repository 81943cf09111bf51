// The first step of batch_norm2d's gradients: for each run of rows and each channel the sums over rows of
//     grad_output * normalised,   grad_output        with normalised = (input - mean) / sqrt(variance + eps)
// A run is a chunk of partial sums (norm/batch_norm2d_grad_partials.wgsl), or all of it
// (norm/batch_norm2d_grad_totals.wgsl).
//
// input, grad_output: [rows, columns]; statistics: [2, columns].
// Workgroups, invocations, workgroup memory and barriers: lib/bands.wgsl; a run is a chunk. An invocation loads two of
// its rows before it adds them up, so that it waits for memory once.
// Linked with: lib/bands.wgsl, norm/batch_norm2d_chunks.wgsl, norm/batch_norm2d_grad_joined.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(STATISTICS) var<storage, read> statistics: array<E>;

fn runs() -> u32 {
    return chunk_count();
}

fn part(run: u32, lane: u32, column: u32) -> Part {
    let end = run * params.chunk + rows_of_chunk(run);
    let apart = LANES * params.columns;
    let mean = statistics[column];
    var row = run * params.chunk + lane;
    var at = row * params.columns + column;
    var sums = Part();
    for (; row + LANES < end; row += 2 * LANES) {
        let first = grad_output[at];
        let second = grad_output[at + apart];
        sums.products += first * (input[at] - mean) + second * (input[at + apart] - mean);
        sums.sum += first + second;
        at += 2 * apart;
    }
    if row < end {
        sums.products += grad_output[at] * (input[at] - mean);
        sums.sum += grad_output[at];
    }
    sums.products *= statistics[params.columns + column];
    return sums;
}
