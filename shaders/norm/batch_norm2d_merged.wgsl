// One larger chunk for each run of chunks that norm/batch_norm2d_moments.wgsl has merged.
//
// joined_partials: [runs, 2, columns] = mean, m2.
// Linked with: lib/bands.wgsl, norm/batch_norm2d_moments.wgsl. Header: E, params.

@group(0) @binding(JOINED_PARTIALS) var<storage, read_write> joined_partials: array<E>;

fn whole(run: u32, column: u32, moments: Part) {
    joined_partials[run * 2 * params.columns + column] = E(moments.mean);
    joined_partials[(run * 2 + 1) * params.columns + column] = E(moments.m2);
}
