// A tiled product for software devices with eight lanes, where the operands lie in vectors of four: C[m, n] = sum over k of
// A[m, k] B[k, n], with neither workgroup memory nor barriers. Such a device loads lane by lane, in a loop whose cost hardly
// depends on the width of what is loaded, so four elements at a time take less than half of the time of product_shuffle.wgsl.
//
// product.wgsl says what the file that this is linked with gives; E is a vector of four. A_ALONG_K and B_ALONG_K say whether
// four neighbours in memory are four places of the depth (then every run of it is a multiple of four long), or four rows
// of A, four columns of B.
//
// Eight lanes (one subgroup) own one tile of 32 rows and TILE_N columns (8, 16 or 32) of one split: each lane four rows
// that follow one another. They take four places of the depth at a time, for which a lane loads its rows of A, and
// TILE_N / 8 of the vectors of B; it gets the others by shuffle. A workgroup is WG / 8 such subgroups that have nothing to
// do with one another. Right only where the subgroup size is exactly 8.

const QUADS: u32 = TILE_N / 4;
const LOADS: u32 = TILE_N / 8;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % 8;
    let tile = tile_of(workgroup_number(workgroup, groups) * (WG / 8) + local / 8, 32);
    let first_m = tile.first_m + lane * 4;

    let r0 = row_of(first_m);
    let r1 = row_of(first_m + 1);
    let r2 = row_of(first_m + 2);
    let r3 = row_of(first_m + 3);
    var depth = depth_of(tile.first_k);
    // Four columns of a row each: sums[4 q + r] are columns 4 q .. 4 q + 3 of row r.
    var sums: array<EACC, 4 * QUADS>;
    var k = tile.first_k;
    // Loops end at their end, not at their beginning: a software device finds out that no lane goes on only when it has run
    // a body for none of them.
    loop {
        var end: u32;
        var p0: Place;
        var p1: Place;
        var p2: Place;
        var p3: Place;
        // At the edges a tap of the window may lie outside the input for all rows of the tile: nothing to add.
        loop {
            end = min(k + run_of(depth), tile.last_k);
            p0 = start(place_a(r0, depth));
            p1 = p0;
            p2 = p0;
            p3 = p0;
            if A_ALONG_K {
                p1 = start(place_a(r1, depth));
                p2 = start(place_a(r2, depth));
                p3 = start(place_a(r3, depth));
            }
            if subgroupAny(has_inside(p0) || has_inside(p1) || has_inside(p2) || has_inside(p3)) { break; }
            k = end;
            depth = next_run(depth);
            if k >= tile.last_k { break; }
        }
        if k >= tile.last_k { break; }
        var q: array<Place, LOADS>;
        for (var j = 0u; j < LOADS; j++) {
            q[j] = start_b(place_b(depth, tile.first_n + column_of(lane, j)));
            q[j].at += place_of(lane, j) * q[j].step;
        }
        loop {
            // Rows of A by places of the depth, or the other way round.
            var a: array<EACC, 4>;
            if A_ALONG_K {
                a[0] = EACC(load_a(p0));
                a[1] = EACC(load_a(p1));
                a[2] = EACC(load_a(p2));
                a[3] = EACC(load_a(p3));
                p0.at += 4 * p0.step;
                p1.at += 4 * p1.step;
                p2.at += 4 * p2.step;
                p3.at += 4 * p3.step;
            } else {
                for (var d = 0u; d < 4; d++) {
                    a[d] = EACC(load_a(until(p0, k + d < end)));
                    p0 = after(p0);
                }
            }
            var b: array<EACC, LOADS>;
            for (var j = 0u; j < LOADS; j++) {
                if B_ALONG_K {
                    b[j] = EACC(load_b(q[j]));
                } else {
                    b[j] = EACC(load_b(until(q[j], k + place_of(lane, j) < end)));
                }
                q[j].at += 4 * q[j].step;
            }
            if A_ALONG_K {
                a = transposed(a);
            }
            // A vector of columns, or of places: then its component for a place is a column.
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
        // A run may end within four places.
        k = end;
        depth = next_run(depth);
        if k >= tile.last_k { break; }
    }

    if tile.first_k >= tile.last_k { return; }
    // Worked out before the loops, whose bodies must stay short: one that is too long for the driver to unroll would have it
    // keep the sums in memory, which is ten times slower.
    let rows = vec4u(
        place_c(tile.split, first_m),
        place_c(tile.split, first_m + 1),
        place_c(tile.split, first_m + 2),
        place_c(tile.split, first_m + 3),
    );
    // Column by column in so many words, since no loop over them would be unrolled.
    store_column(0, first_m, tile.first_n, rows, &sums);
    store_column(1, first_m, tile.first_n, rows, &sums);
    if QUADS > 2 {
        store_column(2, first_m, tile.first_n, rows, &sums);
        store_column(3, first_m, tile.first_n, rows, &sums);
    }
    if QUADS > 4 {
        store_column(4, first_m, tile.first_n, rows, &sums);
        store_column(5, first_m, tile.first_n, rows, &sums);
        store_column(6, first_m, tile.first_n, rows, &sums);
        store_column(7, first_m, tile.first_n, rows, &sums);
    }
}

// Stores the vectors of four columns in the lane's four rows.
fn store_column(c: u32, first_m: u32, first_n: u32, rows: vec4u, sums: ptr<function, array<EACC, 4 * QUADS>>) {
    for (var r = 0u; r < 4u; r++) {
        let n = first_n + c * 4;
        if first_m + r < params.m && n < params.n {
            store(rows[r] + n, n, sums[c * 4 + r]);
        }
    }
}

// The column of B, and the place of the depth among four, from which vector j of this lane begins.
fn column_of(lane: u32, j: u32) -> u32 {
    return select((lane + j * 8) % QUADS * 4, lane + j * 8, B_ALONG_K);
}

fn place_of(lane: u32, j: u32) -> u32 {
    return select((lane + j * 8) / QUADS, 0u, B_ALONG_K);
}

// Whether the run, or a part of it where it may end outside, lies inside A.
fn has_inside(p: Place) -> bool {
    return select(is_inside(p), p.limit > 0u, LINES);
}

// The place if it is one of the run's, else one outside. Where every run is a multiple of four it always is.
fn until(p: Place, within: bool) -> Place {
    var place = p;
    if !A_ALONG_K {
        place.limit = select(0u, p.limit, within);
        place.at = select(0u, p.at, within);
    }
    return place;
}

// Adds place d of the four: a holds the lane's rows there, b the columns of all four places, as many a vector.
fn add_place(d: u32, a: EACC, b: ptr<function, array<EACC, LOADS>>, sums: ptr<function, array<EACC, 4 * QUADS>>) {
    for (var c = 0u; c < QUADS; c++) {
        let held = b[(d * QUADS + c) / 8];
        let lane = (d * QUADS + c) % 8;
        add(c, a, EACC(subgroupShuffle(held.x, lane), subgroupShuffle(held.y, lane), subgroupShuffle(held.z, lane), subgroupShuffle(held.w, lane)), sums);
    }
}

// Adds one place: a holds the lane's rows there, component j of b column lane + 8 j.
fn add_columns(a: EACC, b: EACC, sums: ptr<function, array<EACC, 4 * QUADS>>) {
    for (var c = 0u; c < QUADS; c++) {
        let held = b[c / 2];
        let lane = c % 2 * 4;
        add(c, a, EACC(subgroupShuffle(held, lane), subgroupShuffle(held, lane + 1), subgroupShuffle(held, lane + 2), subgroupShuffle(held, lane + 3)), sums);
    }
}

fn add(c: u32, a: EACC, columns: EACC, sums: ptr<function, array<EACC, 4 * QUADS>>) {
    sums[c * 4] += a.x * columns;
    sums[c * 4 + 1] += a.y * columns;
    sums[c * 4 + 2] += a.z * columns;
    sums[c * 4 + 3] += a.w * columns;
}

fn transposed(v: array<EACC, 4>) -> array<EACC, 4> {
    return array(
        EACC(v[0].x, v[1].x, v[2].x, v[3].x),
        EACC(v[0].y, v[1].y, v[2].y, v[3].y),
        EACC(v[0].z, v[1].z, v[2].z, v[3].z),
        EACC(v[0].w, v[1].w, v[2].w, v[3].w),
    );
}

// The vectors of B, of which there may be fewer.
fn quadruple(b: array<EACC, LOADS>) -> array<EACC, 4> {
    var four: array<EACC, 4>;
    for (var j = 0u; j < LOADS; j++) {
        four[j] = b[j];
    }
    return four;
}
