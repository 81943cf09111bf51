// The last step of batch_norm2d's sums, if there are many rows: adds up the chunks.
//
// partials: [chunks, 2, columns], as in norm/batch_norm2d_grad_partials.wgsl; a run is all of them.
// Workgroups, invocations, workgroup memory and barriers: lib/bands.wgsl.
// Linked with: lib/bands.wgsl, norm/batch_norm2d_chunks.wgsl, norm/batch_norm2d_grad_joined.wgsl. Header: E, params.

@group(0) @binding(PARTIALS) var<storage, read> partials: array<E>;

fn runs() -> u32 {
    return 1;
}

fn part(run: u32, lane: u32, column: u32) -> Part {
    let chunks = chunk_count();
    var sums = Part();
    for (var chunk = lane; chunk < chunks; chunk += LANES) {
        let at = chunk * 2 * params.columns + column;
        sums = joined(sums, Part(partials[at], partials[at + params.columns]));
    }
    return sums;
}
