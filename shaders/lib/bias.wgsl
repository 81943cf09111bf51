// Epilogue: sum + bias[column], where the column is the output channel or feature; one E of columns at a time.
// Linked with: nothing. Header: E, EACC, E_LEN.

@group(0) @binding(BIAS) var<storage, read> bias: array<E>;

fn biased(sum: EACC, column: u32) -> E {
    return E(sum + bias[column / E_LEN]);
}
