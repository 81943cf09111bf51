// silu(x) = x s with s = 1 / (1 + exp(-x)), and its gradient dy s (1 + x (1 - s)) by the input x. Source:
// torch.nn.SiLU.
// Only exp(-|x|) is computed, so no infinity arises; 1 - s is computed as s of -x, which keeps its digits. As in
// PyTorch, silu of minus infinity is NaN, and so is the gradient at either infinity. E is one element or a vector of
// four.
// Linked with: lib/nan.wgsl. Header: E.

fn forward(x: E) -> E {
    let e = exp(-abs(x));
    return nan_below(x, x * (select(e, E(1), x >= E(0)) / (E(1) + e)));
}

fn backward(x: E, dy: E) -> E {
    let e = exp(-abs(x));
    let s = select(e, E(1), x >= E(0)) / (E(1) + e);
    let rest = select(E(1), e, x >= E(0)) / (E(1) + e);
    return dy * finite_or_nan(x, s * (E(1) + x * rest));
}
