// No mask.
// Linked with: nothing. Header: E.

fn epilogue_masked(at: u32, value: E) -> E {
    return value;
}
