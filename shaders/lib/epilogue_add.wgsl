// Adds the element of another tensor: a residual connection, or the sum of gradients (elementwise/add.wgsl).
//
// addend: same shape as the result.
// Linked with: nothing. Header: E.

@group(0) @binding(ADDEND) var<storage, read> addend: array<E>;

fn epilogue_added(at: u32, value: E) -> E {
    return value + addend[at];
}
