// matmul as a tiled product: the elements of product/matmul.wgsl's operands for the cores of lib/product_*.wgsl.
// Linked with: lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl, product/matmul.wgsl. Header: EA, EA_LEN, EB, EB_LEN, params.

struct Row { first: u32, valid: bool }

fn row_of(m: u32) -> Row {
    return Row(params.a_first + m * params.a_row, m < params.m);
}

struct KPlace { k: u32 }

fn k_place_of(k: u32) -> KPlace {
    return KPlace(k);
}

// All of K lies at equal distances in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.k - k_place.k;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    return KPlace(k_place.k + count);
}

fn next_run(k_place: KPlace) -> KPlace {
    return KPlace(params.k);
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    return place(row.first + k_place.k * params.a_k, params.a_k, row.valid);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(params.b_first + k_place.k * params.b_k + n * params.b_column, params.b_k, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return a[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return b[at / EB_LEN];
}
