// Stores of lib/product_workgroup.wgsl if E is one element: rows of C may have any length. `at` is the start of the row
// in memory, n the column of C, and first_n + n the column of the whole result.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl. Header: ACC, params.

fn store_four(at: u32, first_n: u32, n: u32, sum: vec4<ACC>) {
    if n < params.n { store(at + n, first_n + n, sum.x); }
    if n + 1 < params.n { store(at + n + 1, first_n + n + 1, sum.y); }
    if n + 2 < params.n { store(at + n + 2, first_n + n + 2, sum.z); }
    if n + 3 < params.n { store(at + n + 3, first_n + n + 3, sum.w); }
}

fn note_four(at: u32, n: u32, value: vec4<ACC>) {
    if n < params.n { note(at + n, value.x); }
    if n + 1 < params.n { note(at + n + 1, value.y); }
    if n + 2 < params.n { note(at + n + 2, value.z); }
    if n + 3 < params.n { note(at + n + 3, value.w); }
}
