// A weight for each channel, [columns] of E.
// Linked with: nothing. Header: E.

@group(0) @binding(WEIGHT) var<storage, read> weight: array<E>;

fn weight_of(column: u32) -> E {
    return weight[column];
}
