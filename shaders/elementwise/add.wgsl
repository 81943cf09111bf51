// a + b: the residual connection, whose gradient is grad_output for both operands. Source: torch.add.

fn combine(a: E, b: E) -> E {
    return a + b;
}
