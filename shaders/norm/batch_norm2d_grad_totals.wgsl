// The sums over all rows, which are gradients:
//     grad_weight = sum of grad_output * normalised,   grad_bias = sum of grad_output
//
// grad_weight, grad_bias: [columns].
// Linked with: lib/bands.wgsl, norm/batch_norm2d_grad_joined.wgsl. Header: E.

@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<E>;
@group(0) @binding(GRAD_BIAS) var<storage, read_write> grad_bias: array<E>;

fn whole(run: u32, column: u32, sums: Part) {
    grad_weight[column] = sums.products;
    grad_bias[column] = sums.sum;
}
