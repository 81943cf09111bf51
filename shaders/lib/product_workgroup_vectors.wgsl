// What lib/product_workgroup.wgsl loads and stores where E is a vector of four: operands and result lie in memory along
// extents that are multiples of four. A vector holds four places in K, all of one run, or else four rows of A or
// four columns of B at one place.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl. Header: A_ALONG_K, B_ALONG_K, EACC, params.

fn four_a(rows: Rows, k_place: KPlace) -> EACC {
    return EACC(load_a(start(place_a(rows.r0, k_place))));
}

fn four_b(k_place: KPlace, n: u32) -> EACC {
    return EACC(load_b(start_b(place_b(k_place, n))));
}

fn block_a(rows: Rows, k_place: KPlace, left: u32) -> Block {
    if !A_ALONG_K {
        return block_of_a(rows, k_place, left);
    }
    if left == 0 {
        return Block();
    }
    return turned(
        EACC(load_a(start(place_a(rows.r0, k_place)))),
        EACC(load_a(start(place_a(rows.r1, k_place)))),
        EACC(load_a(start(place_a(rows.r2, k_place)))),
        EACC(load_a(start(place_a(rows.r3, k_place)))),
    );
}

fn block_b(column: u32, k_place: KPlace, left: u32) -> Block {
    if !B_ALONG_K {
        return block_of_b(column, k_place, left);
    }
    if left == 0 {
        return Block();
    }
    return turned(
        EACC(load_b(start_b(place_b(k_place, column)))),
        EACC(load_b(start_b(place_b(k_place, column + 1)))),
        EACC(load_b(start_b(place_b(k_place, column + 2)))),
        EACC(load_b(start_b(place_b(k_place, column + 3)))),
    );
}

// Vectors along K, as vectors across it.
fn turned(r0: EACC, r1: EACC, r2: EACC, r3: EACC) -> Block {
    return Block(
        EACC(r0.x, r1.x, r2.x, r3.x),
        EACC(r0.y, r1.y, r2.y, r3.y),
        EACC(r0.z, r1.z, r2.z, r3.z),
        EACC(r0.w, r1.w, r2.w, r3.w),
    );
}

fn store_four(at: u32, n: u32, sum: EACC) {
    if n < params.n { store(at, n, sum); }
}

fn note_four(at: u32, n: u32, value: EACC) {
    if n < params.n { note(at + n, value); }
}
