// matmul as a tiled product: the elements of product/matmul.wgsl's operands for the cores of lib/product_*.wgsl.

struct Row { first: u32, valid: bool }

fn row_of(m: u32) -> Row {
    return Row(params.a_first + m * params.a_row, m < params.m);
}

struct Depth { k: u32 }

fn depth_of(k: u32) -> Depth {
    return Depth(k);
}

// The whole depth lies at equal distances in both operands.
fn run_of(depth: Depth) -> u32 {
    return params.k - depth.k;
}

fn further(depth: Depth, count: u32) -> Depth {
    return Depth(depth.k + count);
}

fn next_run(depth: Depth) -> Depth {
    return Depth(params.k);
}

fn place_a(row: Row, depth: Depth) -> Place {
    return place(row.first + depth.k * params.a_depth, params.a_depth, row.valid);
}

fn place_b(depth: Depth, n: u32) -> Place {
    return place(params.b_first + depth.k * params.b_depth + n * params.b_column, params.b_depth, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return a[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return b[at / EB_LEN];
}
