// Loads of B in lib/product_workgroup.wgsl if EB is a vector of four: B has contiguous extents that are multiples of
// four. A vector holds four positions in K, all of one run, or four columns at one position.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/product.wgsl, lib/product_workgroup.wgsl. Header: B_ALONG_K, EBACC.

fn block_b(product: u32, column: u32, k_place: KPlace, k: u32, left: u32) -> Loaded {
    if B_ALONG_K {
        let there = left > 0;
        return of_b(
            place_b(k_place, column), place_b(k_place, column + 1), place_b(k_place, column + 2), place_b(k_place, column + 3),
            vec4<bool>(there, there, there, there),
        );
    }
    let k1 = further(product, k_place, 1, k + 1);
    let k2 = further(product, k1, 1, k + 2);
    let k3 = further(product, k2, 1, k + 3);
    return of_b(
        place_b(k_place, column), place_b(k1, column), place_b(k2, column), place_b(k3, column),
        vec4u(left) > vec4u(0, 1, 2, 3),
    );
}

fn of_b(p0: Place, p1: Place, p2: Place, p3: Place, there: vec4<bool>) -> Loaded {
    let inside = vec4<bool>(is_inside(p0), is_inside(p1), is_inside(p2), is_inside(p3)) & there;
    let at = select(vec4u(), vec4u(p0.at, p1.at, p2.at, p3.at), inside);
    return Loaded(Block(EBACC(fetch_b(at.x)), EBACC(fetch_b(at.y)), EBACC(fetch_b(at.z)), EBACC(fetch_b(at.w))), inside);
}

fn settled_b(b: Loaded) -> Block {
    if B_ALONG_K {
        return turned(masked(b));
    }
    return masked(b);
}
