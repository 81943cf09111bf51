// Stores of lib/product_workgroup.wgsl if E is a vector of four columns: the length of rows of C is a multiple of four.
// `at` is the start of the row in memory, n the column of C, and first_n + n the column of the whole result.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl. Header: EACC, params.

fn store_four(at: u32, first_n: u32, n: u32, sum: EACC) {
    if n < params.n { store(at + n, first_n + n, sum); }
}

fn note_four(at: u32, n: u32, value: EACC) {
    if n < params.n { note(at + n, value); }
}
