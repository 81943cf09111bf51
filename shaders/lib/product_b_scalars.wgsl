// Loads of B in lib/product_workgroup.wgsl if EB is one element, for any extents.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl. Header: ACC, EBACC.

fn block_b(product: u32, column: u32, k_place: KPlace, k: u32, left: u32) -> Loaded {
    let k1 = further(product, k_place, 1, k + 1);
    let k2 = further(product, k1, 1, k + 2);
    let k3 = further(product, k2, 1, k + 3);
    let block = Block(
        four_b(k_place, column, left > 0),
        four_b(k1, column, left > 1),
        four_b(k2, column, left > 2),
        four_b(k3, column, left > 3),
    );
    return Loaded(block, vec4<bool>(true, true, true, true));
}

// Four columns at one position in K.
fn four_b(k_place: KPlace, n: u32, there: bool) -> vec4<ACC> {
    return vec4<ACC>(
        one_b(place_b(k_place, n), there),
        one_b(place_b(k_place, n + 1), there),
        one_b(place_b(k_place, n + 2), there),
        one_b(place_b(k_place, n + 3), there),
    );
}

fn one_b(p: Place, there: bool) -> EBACC {
    let inside = is_inside(p) && there;
    return select(EBACC(0), EBACC(fetch_b(select(0u, p.at, inside))), inside);
}

fn settled_b(b: Loaded) -> Block {
    return b.block;
}
