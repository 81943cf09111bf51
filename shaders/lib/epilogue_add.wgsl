// Adds the element of another tensor: a residual connection, or gradients that meet (elementwise/add.wgsl).
//
// addend: as the result.
// Linked with: nothing. Header: E.

@group(0) @binding(ADDEND) var<storage, read> addend: array<E>;

fn epilogue_added(at: u32, value: E) -> E {
    return value + addend[at];
}
