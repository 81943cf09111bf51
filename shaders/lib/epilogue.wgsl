// What is done to E of a result before they are stored, as a plan has joined other nodes to the one that makes it:
//     epilogue(x) = masked(rectified(x + addend))
// each step being there or not (lib/epilogue_add.wgsl, lib/epilogue_relu.wgsl, lib/epilogue_mask.wgsl, and what does nothing
// in their places).
// `at` counts E of the result, which the addend and the mask lie like.
// Linked with: conv2d/few_channels.wgsl, lib/epilogue_add.wgsl or lib/epilogue_add_none.wgsl, lib/epilogue_mask.wgsl or lib/epilogue_mask_none.wgsl, lib/epilogue_relu.wgsl or lib/epilogue_relu_none.wgsl. Header: E.

fn epilogue(at: u32, value: E) -> E {
    return epilogue_masked(at, epilogue_rectified(epilogue_added(at, value)));
}
