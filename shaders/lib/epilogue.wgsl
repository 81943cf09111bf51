// What is done to E of a result before they are stored, as a plan has joined other nodes to the one that makes it:
//     epilogue(x) = masked(relu(x + addend))
// each step being there or not: RELU says whether relu is, and lib/epilogue_add_none.wgsl and lib/epilogue_mask_none.wgsl do nothing.
// `at` counts E of the result, which the addend and the mask lie like.
// Linked with: lib/epilogue_add.wgsl or lib/epilogue_add_none.wgsl, lib/epilogue_mask.wgsl or lib/epilogue_mask_none.wgsl, lib/nan.wgsl. Header: E, RELU.

fn epilogue(at: u32, value: E) -> E {
    var result = epilogue_added(at, value);
    if RELU {
        // As elementwise/relu.wgsl has it.
        result = keep_nan(result, select(result, E(0), result <= E(0)));
    }
    return epilogue_masked(at, result);
}
