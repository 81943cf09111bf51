// relu, as elementwise/relu.wgsl has it: 0 where the value is not above 0, and NaN stays NaN, which is told by its bits.
// Linked with: lib/nan.wgsl. Header: E.

fn epilogue_rectified(value: E) -> E {
    return keep_nan(value, select(value, E(0), value <= E(0)));
}
