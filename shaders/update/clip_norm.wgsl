// clipped(g) = factor g, with the factor that update/clip_grad_norm_total.wgsl has computed for all gradients together.
// For update/sgd.wgsl. grad_norm: [2] = norm, factor. A factor of NaN makes everything NaN, as in PyTorch, including
// padding. The padding of parameters and momentum buffers enters no result, and that of the gradients, which enters the
// norm, stays unchanged.
// Linked with: nothing. Header: E, T.

@group(0) @binding(GRAD_NORM) var<storage, read> grad_norm: array<T>;

fn clipped(g: E) -> E {
    return grad_norm[1] * g;
}
