// The first step of batch_norm2d in training: mean and sum of squared deviations of each chunk of 32 rows, by channel,
// by the formula of lib/moments.wgsl.
//
// input: [rows, columns]; partials: [chunks, 2, columns] = mean, m2.
// One invocation owns one chunk of one column of E. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, lib/moments.wgsl, norm/batch_norm2d_chunks.wgsl. Header: E, VACC, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(PARTIALS) var<storage, read_write> partials: array<E>;

fn count() -> u32 {
    return chunk_count() * params.columns;
}

fn each(i: u32) {
    let chunk = divide(i, params.columns);
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

// The moments of four rows. Beyond the last row, the last row is loaded and discarded.
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
