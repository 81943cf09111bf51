// sum = (first batch ? 0 : sum) + weight grad, then grad = sum: accumulates the gradients of several batches before one
// update. With weight = images of the batch / images of all these batches, the sum is the gradient of their mean loss.
//
// share: [4] = weight, 1 for the first batch since the last update and else 0, two unused; written before each step.
// grad, sum: [len] of four, the same piece of the group's flat buffers; a tensor's padding stays 0.
// One invocation owns four elements. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl. Header: T, params.

@group(0) @binding(SHARE) var<storage, read> share: array<T>;
@group(0) @binding(GRAD) var<storage, read_write> grad: array<vec4<T>>;
@group(0) @binding(SUM) var<storage, read_write> sum: array<vec4<T>>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    var g = share[0] * grad[i];
    // Not 0 * sum, because an infinite sum of earlier batches would become NaN.
    if share[1] == T(0) {
        g = sum[i] + g;
    }
    sum[i] = g;
    grad[i] = g;
}
