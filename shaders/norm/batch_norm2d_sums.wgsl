// The first step of batch_norm2d in training: mean and sum of squared deviations of each chunk of 32 rows, by channel, as
// moments.wgsl says.
//
// input: [rows, columns]; partials: [chunks, 2, columns] = mean, m2.
// One invocation owns one chunk of one column of E. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> input: array<E>;
@group(0) @binding(2) var<storage, read_write> partials: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= chunk_count() * params.columns { return; }
    let chunk = i / params.columns;
    let column = i - chunk * params.columns;
    let row = chunk * CHUNK;

    let first = merged(
        merged(block(row, column), block(row + 4, column)),
        merged(block(row + 8, column), block(row + 12, column)),
    );
    let second = merged(
        merged(block(row + 16, column), block(row + 20, column)),
        merged(block(row + 24, column), block(row + 28, column)),
    );
    let moments = merged(first, second);
    partials[chunk * 2 * params.columns + column] = E(moments.mean);
    partials[(chunk * 2 + 1) * params.columns + column] = E(moments.m2);
}

// The statistics of four rows. Of those beyond the last one the last is read, and not used.
fn block(row: u32, column: u32) -> Moments {
    return moments_of(
        value(row, column),
        value(row + 1, column),
        value(row + 2, column),
        value(row + 3, column),
        rows_from(row, params.rows),
    );
}

fn value(row: u32, column: u32) -> VACC {
    return VACC(input[min(row, params.rows - 1) * params.columns + column]);
}
