// decayed(g, p) = g + weight_decay p + l1 sign(p): the gradient plus the gradients of the L2 and L1 penalties. Part of
// every update whose weight decay is L2. Source: torch.optim.SGD; the L1 penalty is not PyTorch's.
// Linked with: nothing. Header: E, params.

fn decayed(g: E, p: E) -> E {
    return g + (params.weight_decay * p + params.l1 * sign(p));
}
