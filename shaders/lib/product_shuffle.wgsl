// A tiled product for software devices with eight lanes: C[m, n] = sum over k of A[m, k] B[k, n], with neither workgroup
// memory nor barriers, both of which cost such a device more than they save.
//
// product.wgsl says what the file that this is linked with gives.
//
// Eight lanes (one subgroup) own one tile of 32 rows and TILE_N columns (8 or 16) of one split: each lane four rows. For
// each place of the depth a lane loads its four elements of A and one or two of B, and gets the others of B by shuffle,
// which is one instruction where a load is a loop over the lanes. A workgroup is WG / 8 such subgroups that have nothing
// to do with one another. Right only where the subgroup size is exactly 8.

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % 8;
    let tile = tile_of(workgroup_number(workgroup, groups) * (WG / 8) + local / 8, 32);
    let first_m = tile.first_m + lane;

    let r0 = row_of(first_m);
    let r1 = row_of(first_m + 8);
    let r2 = row_of(first_m + 16);
    let r3 = row_of(first_m + 24);
    var depth = depth_of(tile.first_k);
    // Four columns of a row each: sums[4 q + r] are columns 4 q .. 4 q + 3 of row r.
    var sums: array<vec4<ACC>, 16>;
    var k = tile.first_k;
    while k < tile.last_k {
        var p0 = start(place_a(r0, depth));
        var p1 = start(place_a(r1, depth));
        var p2 = start(place_a(r2, depth));
        var p3 = start(place_a(r3, depth));
        var q0 = start_b(place_b(depth, tile.first_n + lane));
        var q1 = start_b(place_b(depth, tile.first_n + TILE_N - 8 + lane));
        let end = min(k + run_of(depth), tile.last_k);
        // At the edges a tap of the window may lie outside the input for all rows of the tile: nothing to add.
        if !LINES && !subgroupAny(is_inside(p0) || is_inside(p1) || is_inside(p2) || is_inside(p3)) {
            k = end;
        }
        for (; k < end; k++) {
            let a = vec4<ACC>(load_a(p0), load_a(p1), load_a(p2), load_a(p3));
            var b = vec2<ACC>(load_b(q0));
            if TILE_N == 16 {
                b.y = load_b(q1);
            }
            p0 = after(p0);
            p1 = after(p1);
            p2 = after(p2);
            p3 = after(p3);
            q0.at += q0.step;
            q1.at += q1.step;
            let b00 = vec4<ACC>(subgroupShuffle(b.x, 0u), subgroupShuffle(b.x, 1u), subgroupShuffle(b.x, 2u), subgroupShuffle(b.x, 3u));
            let b01 = vec4<ACC>(subgroupShuffle(b.x, 4u), subgroupShuffle(b.x, 5u), subgroupShuffle(b.x, 6u), subgroupShuffle(b.x, 7u));
            sums[0] += a.x * b00;
            sums[1] += a.y * b00;
            sums[2] += a.z * b00;
            sums[3] += a.w * b00;
            sums[4] += a.x * b01;
            sums[5] += a.y * b01;
            sums[6] += a.z * b01;
            sums[7] += a.w * b01;
            if TILE_N == 16 {
            let b10 = vec4<ACC>(subgroupShuffle(b.y, 0u), subgroupShuffle(b.y, 1u), subgroupShuffle(b.y, 2u), subgroupShuffle(b.y, 3u));
            let b11 = vec4<ACC>(subgroupShuffle(b.y, 4u), subgroupShuffle(b.y, 5u), subgroupShuffle(b.y, 6u), subgroupShuffle(b.y, 7u));
            sums[8] += a.x * b10;
            sums[9] += a.y * b10;
            sums[10] += a.z * b10;
            sums[11] += a.w * b10;
            sums[12] += a.x * b11;
            sums[13] += a.y * b11;
            sums[14] += a.z * b11;
            sums[15] += a.w * b11;
            }
        }
        depth = next_run(depth);
    }

    if tile.first_k >= tile.last_k { return; }
    // Worked out before the loops, whose bodies must stay short: one that is too long for the driver to unroll would have it
    // keep the sums in memory.
    let rows = vec4u(
        place_c(tile.split, first_m),
        place_c(tile.split, first_m + 8),
        place_c(tile.split, first_m + 16),
        place_c(tile.split, first_m + 24),
    );
    for (var q = 0u; q < TILE_N / 4; q++) {
        for (var r = 0u; r < 4u; r++) {
            for (var c = 0u; c < 4u; c++) {
                let n = tile.first_n + q * 4 + c;
                if first_m + r * 8 < params.m && n < params.n {
                    store(rows[r] + n, n, sums[q * 4 + r][c]);
                }
            }
        }
    }
}
