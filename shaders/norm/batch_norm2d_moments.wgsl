// The second step of batch_norm2d in training: merges the chunks of a channel by the formula of lib/moments.wgsl, for
// lib/bands.wgsl. The joined rows are chunks here. A run of them becomes one larger chunk
// (norm/batch_norm2d_merged.wgsl), or the last one becomes statistics (norm/batch_norm2d_statistics.wgsl).
//
// partials: [chunks, 2, columns] = mean, m2; a run is `run` chunks, the last one fewer.
// Linked with: lib/bands.wgsl, lib/moments.wgsl, norm/batch_norm2d_chunks.wgsl. Header: ACC, E, VACC, params.

@group(0) @binding(PARTIALS) var<storage, read> partials: array<E>;

alias Part = Moments;

fn runs() -> u32 {
    return (chunk_count() + params.run - 1) / params.run;
}

fn part(run: u32, lane: u32, column: u32) -> Part {
    let end = min((run + 1) * params.run, chunk_count());
    var moments: Moments;
    for (var chunk = run * params.run + lane; chunk < end; chunk += LANES) {
        moments = merged(moments, chunk_at(chunk, column));
    }
    return moments;
}

fn joined(a: Part, b: Part) -> Part {
    return merged(a, b);
}

fn chunk_at(chunk: u32, column: u32) -> Moments {
    let at = chunk * 2 * params.columns + column;
    return Moments(VACC(partials[at]), VACC(partials[at + params.columns]), ACC(rows_of_chunk(chunk)));
}
