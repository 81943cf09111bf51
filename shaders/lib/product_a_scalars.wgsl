// Loads of A in lib/product_workgroup.wgsl if EA is one element, for any extents.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl. Header: ACC, EAACC.

fn block_a(product: u32, rows: Rows, k_place: KPlace, k: u32, left: u32) -> Loaded {
    let k1 = further(product, k_place, 1, k + 1);
    let k2 = further(product, k1, 1, k + 2);
    let k3 = further(product, k2, 1, k + 3);
    let block = Block(
        four_a(rows, k_place, left > 0),
        four_a(rows, k1, left > 1),
        four_a(rows, k2, left > 2),
        four_a(rows, k3, left > 3),
    );
    return Loaded(block, vec4<bool>(true, true, true, true));
}

// Four rows at one position in K.
fn four_a(rows: Rows, k_place: KPlace, there: bool) -> vec4<ACC> {
    return vec4<ACC>(
        one_a(place_a(rows.r0, k_place), there),
        one_a(place_a(rows.r1, k_place), there),
        one_a(place_a(rows.r2, k_place), there),
        one_a(place_a(rows.r3, k_place), there),
    );
}

fn one_a(p: Place, there: bool) -> EAACC {
    let inside = is_inside(p) && there;
    return select(EAACC(0), EAACC(fetch_a(select(0u, p.at, inside))), inside);
}

fn settled_a(a: Loaded) -> Block {
    return a.block;
}
