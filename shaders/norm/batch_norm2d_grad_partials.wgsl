// The sums of norm/batch_norm2d_grad_sums.wgsl, if they do not yet cover all rows.
//
// partials: [chunks, 2, columns].
// Linked with: lib/bands.wgsl, norm/batch_norm2d_grad_joined.wgsl. Header: E, params.

@group(0) @binding(PARTIALS) var<storage, read_write> partials: array<E>;

fn whole(run: u32, column: u32, sums: Part) {
    partials[run * 2 * params.columns + column] = sums.products;
    partials[(run * 2 + 1) * params.columns + column] = sums.sum;
}
