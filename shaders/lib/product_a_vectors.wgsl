// Loads of A in lib/product_workgroup.wgsl if EA is a vector of four: A has contiguous extents that are multiples of
// four. A vector holds four positions in K, all of one run, or four rows at one position.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl. Header: A_ALONG_K, EAACC.

fn block_a(product: u32, rows: Rows, k_place: KPlace, k: u32, left: u32) -> Loaded {
    if A_ALONG_K {
        let there = left > 0;
        return of_a(
            place_a(rows.r0, k_place), place_a(rows.r1, k_place), place_a(rows.r2, k_place), place_a(rows.r3, k_place),
            vec4<bool>(there, there, there, there),
        );
    }
    let k1 = further(product, k_place, 1, k + 1);
    let k2 = further(product, k1, 1, k + 2);
    let k3 = further(product, k2, 1, k + 3);
    return of_a(
        place_a(rows.r0, k_place), place_a(rows.r0, k1), place_a(rows.r0, k2), place_a(rows.r0, k3),
        vec4u(left) > vec4u(0, 1, 2, 3),
    );
}

fn of_a(p0: Place, p1: Place, p2: Place, p3: Place, there: vec4<bool>) -> Loaded {
    let inside = vec4<bool>(is_inside(p0), is_inside(p1), is_inside(p2), is_inside(p3)) & there;
    let at = select(vec4u(), vec4u(p0.at, p1.at, p2.at, p3.at), inside);
    return Loaded(Block(EAACC(fetch_a(at.x)), EAACC(fetch_a(at.y)), EAACC(fetch_a(at.z)), EAACC(fetch_a(at.w))), inside);
}

fn settled_a(a: Loaded) -> Block {
    if A_ALONG_K {
        return turned(masked(a));
    }
    return masked(a);
}
