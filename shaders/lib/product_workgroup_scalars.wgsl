// What lib/product_workgroup.wgsl loads and stores where E is one element: any extents will do.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl. Header: ACC, params.

fn four_a(rows: Rows, k_place: KPlace) -> vec4<ACC> {
    return vec4<ACC>(
        load_a(start(place_a(rows.r0, k_place))),
        load_a(start(place_a(rows.r1, k_place))),
        load_a(start(place_a(rows.r2, k_place))),
        load_a(start(place_a(rows.r3, k_place))),
    );
}

fn four_b(k_place: KPlace, n: u32) -> vec4<ACC> {
    return vec4<ACC>(
        load_b(start_b(place_b(k_place, n))),
        load_b(start_b(place_b(k_place, n + 1))),
        load_b(start_b(place_b(k_place, n + 2))),
        load_b(start_b(place_b(k_place, n + 3))),
    );
}

fn block_a(rows: Rows, k_place: KPlace, left: u32) -> Block {
    return block_of_a(rows, k_place, left);
}

fn block_b(column: u32, k_place: KPlace, left: u32) -> Block {
    return block_of_b(column, k_place, left);
}

fn store_four(at: u32, n: u32, sum: vec4<ACC>) {
    if n < params.n { store(at, n, sum.x); }
    if n + 1 < params.n { store(at + 1, n + 1, sum.y); }
    if n + 2 < params.n { store(at + 2, n + 2, sum.z); }
    if n + 3 < params.n { store(at + 3, n + 3, sum.w); }
}

fn note_four(at: u32, n: u32, value: vec4<ACC>) {
    if n < params.n { note(at + n, value.x); }
    if n + 1 < params.n { note(at + n + 1, value.y); }
    if n + 2 < params.n { note(at + n + 2, value.z); }
    if n + 3 < params.n { note(at + n + 3, value.w); }
}
