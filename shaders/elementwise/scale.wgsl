// scale(x) = factor x, for elementwise/activation.wgsl; the gradient is grad_output times the same factor. E is one element
// or a vector of four.
// Linked with: nothing. Header: E, params.

fn forward(x: E) -> E {
    return x * params.factor;
}
