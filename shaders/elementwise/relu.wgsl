// relu(x) = max(x, 0), and its gradient dy where the output is above 0, else 0. Source: torch.nn.ReLU.
// NaN stays NaN, as in PyTorch: some compilers turn the comparison into max(x, 0), which loses it. E is one element or
// a vector of four.
// Linked with: lib/nan.wgsl. Header: E.

fn forward(x: E) -> E {
    return keep_nan(x, select(x, E(0), x <= E(0)));
}

fn backward(y: E, dy: E) -> E {
    return select(dy, E(0), y <= E(0));
}
