// The second step of batch_norm2d's gradients: adds up the chunks, which gives
//     grad_weight = sum of grad_output * normalised,   grad_bias = sum of grad_output
//
// partials: [chunks, 2, columns]; grad_weight, grad_bias: [columns].
// One invocation owns one channel and takes its chunks in order. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> partials: array<E>;
@group(0) @binding(2) var<storage, read_write> grad_weight: array<E>;
@group(0) @binding(3) var<storage, read_write> grad_bias: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let column = invocation_number(workgroup, groups, local);
    if column >= params.columns { return; }
    var products = E(0);
    var sum = E(0);
    for (var chunk = 0u; chunk < chunk_count(); chunk++) {
        products += partials[chunk * 2 * params.columns + column];
        sum += partials[(chunk * 2 + 1) * params.columns + column];
    }
    grad_weight[column] = products;
    grad_bias[column] = sum;
}
