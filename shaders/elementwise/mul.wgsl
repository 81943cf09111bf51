// a b, whose gradients, grad_output b and grad_output a, are products of the same kind. Source: torch.mul.
// Linked with: nothing. Header: E.

fn combine(a: E, b: E) -> E {
    return a * b;
}
