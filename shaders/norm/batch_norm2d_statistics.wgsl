// The statistics from all chunks that norm/batch_norm2d_moments.wgsl has merged, and the update of the running
// statistics:
//     running = (1 - f) running + f batch,   f = momentum, or 1 / batches for a cumulative average (momentum below 0)
// The batch is normalised by m2 / n; the running variance is of m2 / (n - 1). Source: torch.nn.BatchNorm2d.
//
// batches: [1], incremented later by norm/batch_norm2d.wgsl; statistics: [2, columns]; running_mean, running_var: [columns].
// Linked with: lib/bands.wgsl, lib/nan.wgsl, norm/batch_norm2d_moments.wgsl. Header: E, T, params.

@group(0) @binding(BATCHES) var<storage, read> batches: array<i32>;
@group(0) @binding(STATISTICS) var<storage, read_write> statistics: array<E>;
@group(0) @binding(RUNNING_MEAN) var<storage, read_write> running_mean: array<E>;
@group(0) @binding(RUNNING_VAR) var<storage, read_write> running_var: array<E>;

fn whole(run: u32, column: u32, moments: Part) {
    let mean = E(moments.mean);
    let n = moments.n;
    // For equal values rounding may give a slightly negative result.
    let m2 = keep_nan(E(moments.m2), max(E(moments.m2), E(0)));
    statistics[column] = mean;
    statistics[params.columns + column] = 1 / sqrt(m2 / n + params.eps);
    let f = select(params.momentum, 1 / T(batches[0] + 1), params.momentum < 0);
    running_mean[column] += f * (mean - running_mean[column]);
    running_var[column] += f * (m2 / (n - 1) - running_var[column]);
}
