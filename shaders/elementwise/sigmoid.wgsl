// sigmoid(x) = 1 / (1 + exp(-x)), and its gradient dy y (1 - y). Source: torch.nn.Sigmoid.
// If exp(-x) would overflow, the result is computed as exp(x) / (1 + exp(x)), so no infinity arises. E is one element
// or a vector of four.
// Linked with: lib/nan.wgsl. Header: E.

fn forward(x: E) -> E {
    let e = exp(-abs(x));
    return keep_nan(x, select(e, E(1), x >= E(0)) / (E(1) + e));
}

fn backward(y: E, dy: E) -> E {
    return dy * y * (E(1) - y);
}
