// The second step of batch_norm2d's gradients: adds up the chunks, which gives
//     grad_weight = sum of grad_output * normalised,   grad_bias = sum of grad_output
//
// partials: [chunks, 2, columns]; grad_weight, grad_bias: [columns].
// One workgroup owns one column of E. Invocation i takes chunks i, i + WG and so on in order; then what WG / 2, WG / 4 ..
// invocations have is added to what as many others have. Workgroup memory: up to 32 WG bytes; a barrier parts the writes of
// one round from the reads of the next.
// Linked with: lib/workgroup.wgsl, norm/batch_norm2d_chunks.wgsl. Header: E, WG, params.

@group(0) @binding(PARTIALS) var<storage, read> partials: array<E>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<E>;
@group(0) @binding(GRAD_BIAS) var<storage, read_write> grad_bias: array<E>;

struct Sums { products: E, sum: E }

var<workgroup> parts: array<Sums, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let column = workgroup_number(workgroup, groups);
    let is_there = column < params.columns;
    var sums: Sums;
    for (var chunk = local; chunk < select(0u, chunk_count(), is_there); chunk += WG) {
        let at = chunk * 2 * params.columns + column;
        sums = Sums(sums.products + partials[at], sums.sum + partials[at + params.columns]);
    }
    parts[local] = sums;
    for (var count = WG / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if local < count {
            let other = parts[local + count];
            parts[local] = Sums(parts[local].products + other.products, parts[local].sum + other.sum);
        }
    }
    if local > 0 || !is_there { return; }
    grad_weight[column] = parts[0].products;
    grad_bias[column] = parts[0].sum;
}
