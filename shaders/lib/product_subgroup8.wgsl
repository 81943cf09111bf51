// A tiled GEMM for software devices with eight lanes: C[m, n] = sum over k of A[m, k] B[k, n], without workgroup memory
// or barriers, which cost such a device more than they save. It loads lane by lane, in a loop whose cost hardly depends
// on the width of a load, so the ratio of loads to arithmetic decides.
//
// lib/product.wgsl lists the functions of the linked file. All work is done on vectors of four, assembled from several
// EA, EB or E: of four elements each if the contiguous extents allow it, else of two or one. A_ALONG_K and B_ALONG_K
// are true if neighbours in memory are positions in K, and false if they are rows of A, columns of B. WHOLE_RUNS is
// true if the length of every run of K is a multiple of four.
//
// Eight lanes (one subgroup) own one tile of 32 rows and TILE_N columns (8, 16 or 32) of one split, each lane four
// consecutive rows. They take four positions in K at a time. A lane loads its rows of A and TILE_N / 8 of the vectors
// of B for them, and gets the other vectors by shuffle. A workgroup is WG / 8 such independent subgroups. Right only if
// the subgroup size is exactly 8.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/moments.wgsl, lib/product.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl, lib/workgroup.wgsl. Header: ACC, A_ALONG_K, B_ALONG_K, EA, EA_LEN, EA_four, EB, EB_LEN, EB_four, E_LEN, E_parts, LINES, TILE_N, WG, WHOLE_RUNS, params.

alias Four = vec4<ACC>;

const QUADS: u32 = TILE_N / 4;
const LOADS: u32 = TILE_N / 8;
// Number of loads per vector, and number of positions in a run from which a lane's four rows of A are loaded.
const A_PARTS: u32 = 4 / EA_LEN;
const B_PARTS: u32 = 4 / EB_LEN;
const PLACES: u32 = select(A_PARTS, 4u, A_ALONG_K);

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % 8;
    let tile = tile_of(workgroup_number(workgroup, groups) * (WG / 8) + local / 8, 32);
    let first_m = tile.first_m + lane * 4;

    var rows: array<Row, PLACES>;
    for (var i = 0u; i < PLACES; i++) {
        rows[i] = row_of(tile.product, first_m + i * (4 / PLACES));
    }
    var k_place = k_place_of(tile.product, tile.first_k);
    // Four columns of one row each: sums[4 q + r] are columns 4 q .. 4 q + 3 of row r.
    var sums: array<Four, 4 * QUADS>;
    var k = tile.first_k;
    // Loops test at their end, not at their beginning: a software device detects that no lane continues only after it
    // has run the body with none active.
    if k < tile.last_k {
        loop {
            var end: u32;
            var p: array<Place, PLACES>;
            // At the edges a tap of the window may lie outside the input for all rows of the tile; it adds nothing.
            loop {
                end = min(k + run_of(k_place), tile.last_k);
                var any = false;
                for (var i = 0u; i < PLACES; i++) {
                    p[i] = start(place_a(rows[i], k_place));
                    any |= has_inside(p[i]);
                }
                if subgroupAny(any) { break; }
                k = end;
                k_place = next_run(k_place);
                if k >= tile.last_k { break; }
            }
            if k >= tile.last_k { break; }
            var q: array<Place, LOADS>;
            for (var j = 0u; j < LOADS; j++) {
                q[j] = start_b(place_b(k_place, tile.first_n + column_of(lane, j)));
                q[j].at += place_of(lane, j) * q[j].step;
            }
            loop {
                // Rows of A by positions in K, or transposed.
                var a: array<Four, 4>;
                if A_ALONG_K {
                    for (var i = 0u; i < PLACES; i++) {
                        a[i] = run_of_a(p[i], end - k);
                        p[i].at += 4 * p[i].step;
                        p[i].line += 4 * p[i].line_step;
                    }
                } else {
                    for (var d = 0u; d < 4; d++) {
                        a[d] = rows_of_a(&p, k + d < end);
                    }
                }
                var b: array<Four, LOADS>;
                for (var j = 0u; j < LOADS; j++) {
                    if B_ALONG_K {
                        b[j] = run_of_b(q[j], end - k);
                    } else {
                        b[j] = columns_of_b(q[j], tile.first_n + column_of(lane, j), k + place_of(lane, j) < end);
                    }
                    q[j].at += 4 * q[j].step;
                }
                if A_ALONG_K {
                    a = transposed(a);
                }
                // A vector of columns, or of positions; in the latter case its component for a position is a column.
                if B_ALONG_K {
                    let c = transposed(quadruple(b));
                    add_columns(a[0], c[0], &sums);
                    add_columns(a[1], c[1], &sums);
                    add_columns(a[2], c[2], &sums);
                    add_columns(a[3], c[3], &sums);
                } else {
                    add_place(0, a[0], &b, &sums);
                    add_place(1, a[1], &b, &sums);
                    add_place(2, a[2], &b, &sums);
                    add_place(3, a[3], &b, &sums);
                }
                k += 4u;
                if k >= end { break; }
            }
            // A run may end within four positions.
            k = end;
            k_place = next_run(k_place);
            if k >= tile.last_k { break; }
        }
    }

    if !tile.is_there { return; }
    // No loops here: a loop too long for the driver to unroll would make it keep the sums in memory, which is ten times
    // slower.
    store_row(tile, first_m, 0, &sums);
    store_row(tile, first_m + 1, 1, &sums);
    store_row(tile, first_m + 2, 2, &sums);
    store_row(tile, first_m + 3, 3, &sums);
    if HAS_STATISTICS {
        note_columns(tile, lane, 0, &sums);
        note_columns(tile, lane, 1, &sums);
        if QUADS > 2 {
            note_columns(tile, lane, 2, &sums);
            note_columns(tile, lane, 3, &sums);
        }
        if QUADS > 4 {
            note_columns(tile, lane, 4, &sums);
            note_columns(tile, lane, 5, &sums);
            note_columns(tile, lane, 6, &sums);
            note_columns(tile, lane, 7, &sums);
        }
    }
}

// The statistics of vector `quad` of the tile's columns over its 32 rows, which are a chunk of batch norm. Every lane
// has a block, and lane 0 has the result.
fn note_columns(tile: Tile, lane: u32, quad: u32, sums: ptr<function, array<Four, 4 * QUADS>>) {
    let first = 4 * quad % (4 * QUADS);
    let rows = rows_from(tile.first_m + lane * 4, params.m);
    var moments = moments_of(sums[first], sums[first + 1], sums[first + 2], sums[first + 3], rows);
    moments = merged(moments, shuffled(moments, (lane + 1) % 8));
    moments = merged(moments, shuffled(moments, (lane + 2) % 8));
    moments = merged(moments, shuffled(moments, (lane + 4) % 8));
    if lane == 0 {
        let at = tile.first_m / CHUNK * 2 * row_pitch() + first_column(tile.product);
        note_four(at, tile.first_n + 4 * quad, moments.mean);
        note_four(at + row_pitch(), tile.first_n + 4 * quad, moments.m2);
    }
}

fn shuffled(moments: Moments, lane: u32) -> Moments {
    return Moments(
        Four(subgroupShuffle(moments.mean.x, lane), subgroupShuffle(moments.mean.y, lane), subgroupShuffle(moments.mean.z, lane), subgroupShuffle(moments.mean.w, lane)),
        Four(subgroupShuffle(moments.m2.x, lane), subgroupShuffle(moments.m2.y, lane), subgroupShuffle(moments.m2.z, lane), subgroupShuffle(moments.m2.w, lane)),
        subgroupShuffle(moments.n, lane),
    );
}

fn note_four(at: u32, n: u32, value: Four) {
    let parts = E_parts(value);
    for (var i = 0u; i < 4 / E_LEN; i++) {
        let column = n + i * E_LEN;
        if column < params.n {
            note(at + column, parts[i]);
        }
    }
}

// Stores row r of the lane's four.
fn store_row(tile: Tile, m: u32, r: u32, sums: ptr<function, array<Four, 4 * QUADS>>) {
    let first = first_column(tile.product);
    let at = place_c(tile, m) + first;
    let last_n = select(0u, params.n, has_row(tile.product, m));
    store_four(at, tile.first_n, last_n, first, sums[r]);
    store_four(at, tile.first_n + 4, last_n, first, sums[4 + r]);
    if QUADS > 2 {
        store_four(at, tile.first_n + 8, last_n, first, sums[8 % (4 * QUADS) + r]);
        store_four(at, tile.first_n + 12, last_n, first, sums[12 % (4 * QUADS) + r]);
    }
    if QUADS > 4 {
        store_four(at, tile.first_n + 16, last_n, first, sums[16 % (4 * QUADS) + r]);
        store_four(at, tile.first_n + 20, last_n, first, sums[20 % (4 * QUADS) + r]);
        store_four(at, tile.first_n + 24, last_n, first, sums[24 % (4 * QUADS) + r]);
        store_four(at, tile.first_n + 28, last_n, first, sums[28 % (4 * QUADS) + r]);
    }
}

// Stores four columns of a row, those before `last_n`; `first` is the index of the first in the whole result.
fn store_four(at: u32, n: u32, last_n: u32, first: u32, sum: Four) {
    let parts = E_parts(sum);
    for (var i = 0u; i < 4 / E_LEN; i++) {
        let column = n + i * E_LEN;
        if column < last_n {
            store(at + column, first + column, parts[i]);
        }
    }
}

// The column of B, and the position in K among four, at which vector j of this lane begins.
fn column_of(lane: u32, j: u32) -> u32 {
    return select((lane + j * 8) % QUADS * 4, lane + j * 8, B_ALONG_K);
}

fn place_of(lane: u32, j: u32) -> u32 {
    return select((lane + j * 8) / QUADS, 0u, B_ALONG_K);
}

// True if the run, or a part of it where it may end outside, lies inside A.
fn has_inside(p: Place) -> bool {
    return select(is_inside(p), p.limit > 0u, LINES);
}

// The position if it is in the run, else one outside. If every run is a multiple of four it always is.
fn until(p: Place, within: bool) -> Place {
    var place = p;
    if !WHOLE_RUNS {
        place.limit = select(0u, p.limit, within);
        place.at = select(0u, p.at, within);
    }
    return place;
}

// The position `by` further in K.
fn next_place_by(p: Place, by: u32) -> Place {
    return Place(p.at + by * p.step, p.step, p.line + by * p.line_step, p.line_step, p.limit);
}

// Four positions in K in one row of A, of which `left` are in the run.
fn run_of_a(p: Place, left: u32) -> Four {
    var parts: array<EA, A_PARTS>;
    for (var i = 0u; i < A_PARTS; i++) {
        parts[i] = load_a(until(next_place_by(p, i * EA_LEN), i * EA_LEN < left));
    }
    return EA_four(parts);
}

// The lane's four rows of A at one position in K; advances to the next position.
fn rows_of_a(p: ptr<function, array<Place, PLACES>>, within: bool) -> Four {
    var parts: array<EA, A_PARTS>;
    for (var i = 0u; i < A_PARTS; i++) {
        parts[i] = load_a(until(p[i], within));
        p[i] = next_place(p[i]);
    }
    return EA_four(parts);
}

// Four positions in K in one column of B, of which `left` are in the run.
fn run_of_b(q: Place, left: u32) -> Four {
    var parts: array<EB, B_PARTS>;
    for (var i = 0u; i < B_PARTS; i++) {
        parts[i] = load_b(until(next_place_by(q, i * EB_LEN), i * EB_LEN < left));
    }
    return EB_four(parts);
}

// Four columns of B at one position in K; the last ones may not exist.
fn columns_of_b(q: Place, n: u32, within: bool) -> Four {
    var parts: array<EB, B_PARTS>;
    for (var i = 0u; i < B_PARTS; i++) {
        var place = until(q, within);
        if EB_LEN < 4 {
            let inside = n + i * EB_LEN < params.n;
            place.limit = select(0u, place.limit, inside);
            place.at = select(0u, place.at + i * EB_LEN, inside);
        }
        parts[i] = load_b(place);
    }
    return EB_four(parts);
}

// Adds position d of the four: a holds the lane's rows there, b the columns of all four positions, as many per vector.
fn add_place(d: u32, a: Four, b: ptr<function, array<Four, LOADS>>, sums: ptr<function, array<Four, 4 * QUADS>>) {
    for (var c = 0u; c < QUADS; c++) {
        let held = b[(d * QUADS + c) / 8];
        let lane = (d * QUADS + c) % 8;
        add(c, a, Four(subgroupShuffle(held.x, lane), subgroupShuffle(held.y, lane), subgroupShuffle(held.z, lane), subgroupShuffle(held.w, lane)), sums);
    }
}

// Adds one position: a holds the lane's rows there, component j of b column lane + 8 j.
fn add_columns(a: Four, b: Four, sums: ptr<function, array<Four, 4 * QUADS>>) {
    for (var c = 0u; c < QUADS; c++) {
        let held = b[c / 2];
        let lane = c % 2 * 4;
        add(c, a, Four(subgroupShuffle(held, lane), subgroupShuffle(held, lane + 1), subgroupShuffle(held, lane + 2), subgroupShuffle(held, lane + 3)), sums);
    }
}

fn add(c: u32, a: Four, columns: Four, sums: ptr<function, array<Four, 4 * QUADS>>) {
    sums[c * 4] += a.x * columns;
    sums[c * 4 + 1] += a.y * columns;
    sums[c * 4 + 2] += a.z * columns;
    sums[c * 4 + 3] += a.w * columns;
}

fn transposed(v: array<Four, 4>) -> array<Four, 4> {
    return array(
        Four(v[0].x, v[1].x, v[2].x, v[3].x),
        Four(v[0].y, v[1].y, v[2].y, v[3].y),
        Four(v[0].z, v[1].z, v[2].z, v[3].z),
        Four(v[0].w, v[1].w, v[2].w, v[3].w),
    );
}

// The vectors of B, padded if there are fewer than four.
fn quadruple(b: array<Four, LOADS>) -> array<Four, 4> {
    var four: array<Four, 4>;
    for (var j = 0u; j < LOADS; j++) {
        four[j] = b[j];
    }
    return four;
}
