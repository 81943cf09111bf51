// a - b, whose gradient is grad_output for a and its negative for b. Source: torch.sub.
// Linked with: nothing. Header: E.

fn combine(a: E, b: E) -> E {
    return a - b;
}
