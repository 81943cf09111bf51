// A bias for each channel, [columns] of E.
// Linked with: nothing. Header: E.

@group(0) @binding(BIAS) var<storage, read> bias: array<E>;

fn bias_of(column: u32) -> E {
    return bias[column];
}
