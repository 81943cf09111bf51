// What the cores of a tiled product share. A dispatch computes params.products products of one size side by side: the groups of
// a convolution, the phases of its stride, the places of Winograd's patches; mostly there is one. The file that a core is linked
// with says what A, B and C of product number `product` are:
//     k_of(product)                         how many places K has
//     row_of(product, m), k_place_of(product, k)    prepare a row of A, and a place in K
//     place_a(row, k_place), place_b(k_place, n)    where an element lies, and how far the next one in K is from it
//     run_of(k_place), next_run(k_place)    for how many places in K that distance holds, and the place after them
//     next_by(k_place, count)               the place that many further on in the same run
//     further(product, k_place, count, k)   the place that many further on, which is place k, whatever lies between
//     fetch_a(at), fetch_b(at)              the EA or EB there: an element, or two or four that are neighbours in memory
//     has_row(product, m)                   whether there is a row m of C
//     place_c(tile, m), row_pitch()         where a row of C begins in memory but for first_column, and how far it is to the next
//     first_column(product)                 the column of the whole result that column 0 of C is
//     store(at, column, sum)                takes an E of a column of the whole result, which may be as many elements
// and has m, n, products, k_chunk, the part of K of one split, and splits in its params.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl. Header: EA, EB, LINES, TILE_N, params.

// LINES says whether a run may begin or end outside A, as a line of pixels with padding does.

// A tile of C of one product, by its first row and column, and the part of K that it adds up; TILE_N columns wide.
struct Tile { product: u32, split: u32, first_m: u32, first_n: u32, first_k: u32, last_k: u32, is_there: bool }

// The tile of this number, `rows` rows high. Beyond the last tile, where a dispatch folded to two dimensions or a workgroup
// of several tiles may lead, there is none, and K is empty. It may be empty otherwise too: then all sums are 0.
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

// Where an element lies in memory, and on a line of which `limit` elements exist: from there on A and B are 0. The next
// one in K lies `step` further in memory and `line_step` on the line.
struct Place { at: u32, step: u32, line: u32, line_step: u32, limit: u32 }

// A place on no line: all that is asked is whether it is there.
fn place(at: u32, step: u32, inside: bool) -> Place {
    return Place(at, step, 0, 0, select(0u, 1u, inside));
}

fn is_inside(p: Place) -> bool {
    return p.line < p.limit;
}

// What is outside is read as element 0, which is there, and not used: a jump costs software devices more than a load.
// Without LINES a whole run is inside or outside, so its start and step settle that.
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

// B has no padding: a run of it is inside or outside as a whole.
fn start_b(p: Place) -> Place {
    let inside = is_inside(p);
    return Place(select(0u, p.at, inside), select(0u, p.step, inside), p.line, 0, p.limit);
}

fn load_b(p: Place) -> EB {
    return select(EB(0), fetch_b(p.at), is_inside(p));
}
