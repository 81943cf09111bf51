// matmul as a tiled GEMM: the elements of product/matmul.wgsl's operands for the cores of lib/product_*.wgsl.
// Linked with: lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl, product/matmul.wgsl. Header: EA, EA_LEN, EB, EB_LEN, params.

struct Row { first: u32, valid: bool }

fn k_of(product: u32) -> u32 {
    return params.k;
}

fn row_of(product: u32, m: u32) -> Row {
    return Row(params.a_first + product * params.a_product + m * params.a_row, m < params.m);
}

struct KPlace { k: u32, by: u32 }

fn k_place_of(product: u32, k: u32) -> KPlace {
    return KPlace(k, params.b_first + product * params.b_product + k * params.b_k);
}

// All of K is at equal distances in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.k - k_place.k;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    return KPlace(k_place.k + count, k_place.by + count * params.b_k);
}

fn next_run(k_place: KPlace) -> KPlace {
    return next_by(k_place, run_of(k_place));
}

fn further(product: u32, k_place: KPlace, count: u32, k: u32) -> KPlace {
    return next_by(k_place, count);
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    return place(row.first + k_place.k * params.a_k, params.a_k, row.valid);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.by + n * params.b_column, params.b_k, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return a[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return b[at / EB_LEN];
}

fn row_pitch() -> u32 {
    return params.output_row;
}

fn has_row(product: u32, m: u32) -> bool {
    return m < params.m;
}

fn first_column(product: u32) -> u32 {
    return 0u;
}

fn place_c(tile: Tile, m: u32) -> u32 {
    return place_of_row(m) + tile.product * params.output_product + tile.split * params.split_step;
}
