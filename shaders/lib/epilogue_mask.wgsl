// relu's gradient, as in elementwise/relu.wgsl: 0 where relu's output was not above 0.
//
// masking: same shape as the result.
// Linked with: nothing. Header: E.

@group(0) @binding(MASKING) var<storage, read> masking: array<E>;

fn epilogue_masked(at: u32, value: E) -> E {
    return select(value, E(0), masking[at] <= E(0));
}
