// epilogue(x) = masked(relu(x + addend)) for one E of a result before it is stored, as fused by a plan from other
// nodes. Each step is optional: RELU enables relu, and lib/epilogue_add_none.wgsl and lib/epilogue_mask_none.wgsl do
// nothing.
// `at` counts E of the result; the addend and the mask have the same layout.
// Linked with: lib/epilogue_add.wgsl or lib/epilogue_add_none.wgsl, lib/epilogue_mask.wgsl or lib/epilogue_mask_none.wgsl, lib/nan.wgsl. Header: E, RELU.

fn epilogue(at: u32, value: E) -> E {
    var result = epilogue_added(at, value);
    if RELU {
        // As in elementwise/relu.wgsl.
        result = keep_nan(result, select(result, E(0), result <= E(0)));
    }
    return epilogue_masked(at, result);
}
