// The second step of batch_norm2d in training: merges the chunks of a channel, and moves the running statistics.
//     delta = mean_b - mean_a,   mean = mean_a + delta n_b / n,   m2 = m2_a + m2_b + delta^2 n_a n_b / n
//     running = (1 - f) running + f batch,   f = momentum, or 1 / batches for a cumulative average (momentum below 0)
// The batch is normalised by m2 / n; the running variance is of m2 / (n - 1). Source: torch.nn.BatchNorm2d; merging: Chan,
// Golub, LeVeque, 1983.
//
// partials: [chunks, 2, columns]; batches: [1]; statistics: [2, columns]; running_mean, running_var: [columns].
// One invocation owns one channel and takes its chunks in order. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> partials: array<E>;
@group(0) @binding(2) var<storage, read> batches: array<i32>;
@group(0) @binding(3) var<storage, read_write> statistics: array<E>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<E>;
@group(0) @binding(5) var<storage, read_write> running_var: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let column = invocation_number(workgroup, groups, local);
    if column >= params.columns { return; }
    var mean = partials[column];
    var m2 = partials[params.columns + column];
    var n = T(rows_of_chunk(0));
    for (var chunk = 1u; chunk < chunk_count(); chunk++) {
        let more = T(rows_of_chunk(chunk));
        let delta = partials[chunk * 2 * params.columns + column] - mean;
        let share = more / (n + more);
        mean += delta * share;
        m2 += partials[(chunk * 2 + 1) * params.columns + column] + delta * delta * (n * share);
        n += more;
    }
    // Rounding may leave a little less than nothing of equal values.
    m2 = keep_nan(m2, max(m2, E(0)));
    statistics[column] = mean;
    statistics[params.columns + column] = 1 / sqrt(m2 / n + params.eps);
    let f = select(params.momentum, 1 / T(batches[0]), params.momentum < 0);
    running_mean[column] += f * (mean - running_mean[column]);
    running_var[column] += f * (m2 / (n - 1) - running_var[column]);
}
