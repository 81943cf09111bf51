// relu, as elementwise/relu.wgsl has it: 0 where the value is not above 0, and NaN stays NaN, which is told by its bits.

fn epilogue_rectified(value: E) -> E {
    return keep_nan(value, select(value, E(0), value <= E(0)));
}
