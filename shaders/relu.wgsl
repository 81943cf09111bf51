// relu(x) = max(x, 0), and its gradient dy where the output is above 0, else 0. Source: torch.nn.ReLU.
// Both compare with <= and not with max(), so that NaN stays NaN as in PyTorch. E is one element or a vector of four.

fn forward(x: E) -> E {
    return select(x, E(0), x <= E(0));
}

fn backward(y: E, dy: E) -> E {
    return select(dy, E(0), y <= E(0));
}
