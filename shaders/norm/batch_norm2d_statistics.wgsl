// The second step of batch_norm2d in training: merges the chunks of a channel, as lib/moments.wgsl says, and moves the running
// statistics.
//     running = (1 - f) running + f batch,   f = momentum, or 1 / batches for a cumulative average (momentum below 0)
// The batch is normalised by m2 / n; the running variance is of m2 / (n - 1). Source: torch.nn.BatchNorm2d.
//
// partials: [chunks, 2, columns]; batches: [1], which norm/batch_norm2d.wgsl counts up after this; statistics: [2, columns];
// running_mean, running_var: [columns].
// One workgroup owns one column of E. Invocation i takes chunks i, i + WG and so on in order; then what WG / 2, WG / 4 ..
// invocations have is merged with what as many others have. Workgroup memory: 36 WG bytes; a barrier parts the writes of
// one round from the reads of the next.
// Linked with: lib/moments.wgsl, lib/nan.wgsl, lib/workgroup.wgsl, norm/batch_norm2d_chunks.wgsl. Header: ACC, E, T, VACC, WG, params.

@group(0) @binding(PARTIALS) var<storage, read> partials: array<E>;
@group(0) @binding(BATCHES) var<storage, read> batches: array<i32>;
@group(0) @binding(STATISTICS) var<storage, read_write> statistics: array<E>;
@group(0) @binding(RUNNING_MEAN) var<storage, read_write> running_mean: array<E>;
@group(0) @binding(RUNNING_VAR) var<storage, read_write> running_var: array<E>;

var<workgroup> parts: array<Moments, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let column = workgroup_number(workgroup, groups);
    let is_there = column < params.columns;
    var moments: Moments;
    for (var chunk = local; chunk < select(0u, chunk_count(), is_there); chunk += WG) {
        moments = merged(moments, chunk_at(chunk, column));
    }
    parts[local] = moments;
    for (var count = WG / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if local < count {
            parts[local] = merged(parts[local], parts[local + count]);
        }
    }
    if local > 0 || !is_there { return; }
    let mean = parts[0].mean;
    let n = parts[0].n;
    // Rounding may leave a little less than nothing of equal values.
    let m2 = keep_nan(E(parts[0].m2), max(E(parts[0].m2), E(0)));
    statistics[column] = E(mean);
    statistics[params.columns + column] = 1 / sqrt(m2 / n + params.eps);
    let f = select(params.momentum, 1 / T(batches[0] + 1), params.momentum < 0);
    running_mean[column] += f * (E(mean) - running_mean[column]);
    running_var[column] += f * (m2 / (n - 1) - running_var[column]);
}

fn chunk_at(chunk: u32, column: u32) -> Moments {
    let at = chunk * 2 * params.columns + column;
    return Moments(VACC(partials[at]), VACC(partials[at + params.columns]), ACC(rows_of_chunk(chunk)));
}
