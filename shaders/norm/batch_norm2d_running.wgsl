// The first step of batch_norm2d in evaluation: converts the running statistics to the form of a batch's statistics.
//
// running_mean, running_var: [columns]; statistics: [2, columns].
// One invocation owns one channel. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl. Header: T, params.

@group(0) @binding(RUNNING_MEAN) var<storage, read> running_mean: array<T>;
@group(0) @binding(RUNNING_VAR) var<storage, read> running_var: array<T>;
@group(0) @binding(STATISTICS) var<storage, read_write> statistics: array<T>;

fn count() -> u32 {
    return params.columns;
}

fn each(column: u32) {
    statistics[column] = running_mean[column];
    statistics[params.columns + column] = 1 / sqrt(running_var[column] + params.eps);
}
