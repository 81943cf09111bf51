// Shared part of the cores of a tiled GEMM. A dispatch computes params.products products of one size: the groups of a
// convolution, the phases of its stride, the positions of Winograd's patches; usually there is one. The file linked
// with a core defines A, B and C of product number `product`:
//     k_of(product)                         length of the K dimension
//     row_of(product, m), k_place_of(product, k)    prepare a row of A, and a position in K
//     place_a(row, k_place), place_b(k_place, n)    position of an element, and distance to the next one in K
//     run_of(k_place), next_run(k_place)    number of positions in K with that distance, and the position after them
//     next_by(k_place, count)               the position that many further in the same run
//     further(product, k_place, count, k)   the position that many further, which is position k, across any runs
//     fetch_a(at), fetch_b(at)              the EA or EB there: an element, or two or four that are neighbours in memory
//     has_row(product, m)                   true if C has a row m
//     place_c(tile, m), row_pitch()         start of a row of C in memory, without first_column, and distance to the next
//     first_column(product)                 the column of the whole result that is column 0 of C
//     store(at, column, sum)                stores an E at a column of the whole result, possibly as single elements
// and has m, n, products, k_chunk, the part of K of one split, and splits in its params.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl. Header: EA, EB, LINES, TILE_N, params.

// LINES is true if a run may begin or end outside A, as a padded line of pixels does.

// A tile of C of one product: its first row and column, and the part of K that it accumulates; TILE_N columns wide.
struct Tile { product: u32, split: u32, first_m: u32, first_n: u32, first_k: u32, last_k: u32, is_there: bool }

// The tile of this number, `rows` rows high. Beyond the last tile, which a folded dispatch or a workgroup of several
// tiles may reach, K is empty. K may be empty otherwise too; all sums are then 0.
fn tile_of(number: u32, rows: u32) -> Tile {
    let tiles_m = (params.m + rows - 1) / rows;
    let tiles_n = (params.n + TILE_N - 1) / TILE_N;
    let above = number / (tiles_m * tiles_n);
    let split = above / params.products;
    let product = above - split * params.products;
    let is_there = split < params.splits;
    let k = select(0u, k_of(product), is_there);
    let first_k = min(split * params.k_chunk, k);
    return Tile(
        product,
        split,
        number / tiles_n % tiles_m * rows,
        number % tiles_n * TILE_N,
        first_k,
        min(first_k + params.k_chunk, k),
        is_there,
    );
}

// The position of an element in memory, and on a line with `limit` elements, beyond which A and B are 0. The next one
// in K is `step` further in memory and `line_step` further on the line.
struct Place { at: u32, step: u32, line: u32, line_step: u32, limit: u32 }

// A position without a line, which either exists or does not.
fn place(at: u32, step: u32, inside: bool) -> Place {
    return Place(at, step, 0, 0, select(0u, 1u, inside));
}

fn is_inside(p: Place) -> bool {
    return p.line < p.limit;
}

// Outside the operand element 0, which exists, is loaded and discarded: a branch costs software devices more than a
// load. Without LINES a whole run is inside or outside, which its start and step determine.
fn start(p: Place) -> Place {
    if LINES {
        return p;
    }
    return start_b(p);
}

fn next_place(p: Place) -> Place {
    if LINES {
        return Place(p.at + p.step, p.step, p.line + p.line_step, p.line_step, p.limit);
    }
    return Place(p.at + p.step, p.step, p.line, 0, p.limit);
}

fn load_a(p: Place) -> EA {
    let inside = is_inside(p);
    if LINES {
        return select(EA(0), fetch_a(select(0u, p.at, inside)), inside);
    }
    return select(EA(0), fetch_a(p.at), inside);
}

// B has no padding: a whole run of it is inside or outside.
fn start_b(p: Place) -> Place {
    let inside = is_inside(p);
    return Place(select(0u, p.at, inside), select(0u, p.step, inside), p.line, 0, p.limit);
}

fn load_b(p: Place) -> EB {
    return select(EB(0), fetch_b(p.at), is_inside(p));
}
