// relu(x) = max(x, 0), and its gradient dy where the output is above 0, else 0. Source: torch.nn.ReLU.
// Both compare with <= and not with max(), so that NaN stays NaN as in PyTorch.

fn forward(x: T) -> T {
    return select(x, T(0), x <= T(0));
}

fn backward(y: T, dy: T) -> T {
    return select(dy, T(0), y <= T(0));
}
