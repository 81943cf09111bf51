// clipped(g) = factor g, the factor being the one that update/clip_grad_norm_total.wgsl has found for all gradients together.
// For update/sgd.wgsl. grad_norm: [2] = norm, factor. A factor of NaN makes everything NaN, as in PyTorch, padding included: what
// pads parameters and momentum buffers enters no result, and the gradients, whose padding enters the norm, stay untouched.
// Linked with: nothing. Header: E, T.

@group(0) @binding(GRAD_NORM) var<storage, read> grad_norm: array<T>;

fn clipped(g: E) -> E {
    return grad_norm[1] * g;
}
