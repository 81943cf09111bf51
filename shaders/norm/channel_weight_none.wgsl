// No weight for each channel: 1.
// Linked with: nothing. Header: E.

fn weight_of(column: u32) -> E {
    return E(1);
}
