// leaky_relu(x) = x where x > 0, else negative_slope x, and its gradient dy or negative_slope dy by the sign of the input
// x. Source: torch.nn.LeakyReLU. E is one element or a vector of four.
// Linked with: lib/nan.wgsl. Header: E, params.

fn forward(x: E) -> E {
    return keep_nan(x, select(x * params.negative_slope, x, x > E(0)));
}

fn backward(x: E, dy: E) -> E {
    return select(dy * params.negative_slope, dy, x > E(0));
}
