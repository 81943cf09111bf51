// matmul as a tiled product: the elements of matmul.wgsl's operands for the cores of lib/product_*.wgsl.

struct Row { first: u32, valid: bool }

fn row_of(m: u32) -> Row {
    return Row(params.a_first + m * params.a_row, m < params.m);
}

// A place of the depth, as what it adds to an index of A and of B.
struct Depth { a: u32, b: u32 }

fn depth_of(k: u32) -> Depth {
    return Depth(k * params.a_depth, params.b_first + k * params.b_depth);
}

fn next_depth(depth: Depth) -> Depth {
    return Depth(depth.a + params.a_depth, depth.b + params.b_depth);
}

fn load_a(row: Row, depth: Depth) -> T {
    // No branch: outside, element 0 is loaded and not used, which costs software devices less than a jump.
    return select(T(0), a[select(0u, row.first + depth.a, row.valid)], row.valid);
}

fn load_b(depth: Depth, n: u32) -> T {
    let inside = n < params.n;
    return select(T(0), b[select(0u, depth.b + n * params.b_column, inside)], inside);
}
