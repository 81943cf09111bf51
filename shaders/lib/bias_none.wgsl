// Epilogue: the sum is stored unchanged.
// Linked with: nothing. Header: E, EACC.

fn biased(sum: EACC, column: u32) -> E {
    return E(sum);
}
