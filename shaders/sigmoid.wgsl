// sigmoid(x) = 1 / (1 + exp(-x)), and its gradient dy y (1 - y). Source: torch.nn.Sigmoid.
// Where exp(-x) would overflow the result is written as exp(x) / (1 + exp(x)), so no infinity arises.

fn forward(x: T) -> T {
    let e = exp(-abs(x));
    return select(e, T(1), x >= T(0)) / (T(1) + e);
}

fn backward(y: T, dy: T) -> T {
    return dy * y * (T(1) - y);
}
