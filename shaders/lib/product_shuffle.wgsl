// A tiled product for software devices with eight lanes: C[m, n] = sum over k of A[m, k] B[k, n], with neither workgroup
// memory nor barriers, both of which cost such a device more than they save.
//
// The file that this is linked with says what A, B and C are: row_of(m) and depth_of(k) prepare a row and a place in the
// depth, next_depth(depth) is the place after it, load_a(row, depth) and load_b(depth, n) give elements (0 outside),
// store(split, m, n, sum) takes one of C. params: m, n, k, and k_chunk, the depth of one split.
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
    let tiles_m = (params.m + 31) / 32;
    let tiles_n = (params.n + TILE_N - 1) / TILE_N;
    let tile = workgroup_number(workgroup, groups) * (WG / 8) + local / 8;
    let split = tile / (tiles_m * tiles_n);
    let first_m = tile / tiles_n % tiles_m * 32 + lane;
    let first_n = tile % tiles_n * TILE_N;
    // Workgroups beyond the last tile have an empty depth.
    let first_k = min(split * params.k_chunk, params.k);
    let last_k = min(first_k + params.k_chunk, params.k);

    let r0 = row_of(first_m);
    let r1 = row_of(first_m + 8);
    let r2 = row_of(first_m + 16);
    let r3 = row_of(first_m + 24);
    var depth = depth_of(first_k);
    // Four columns of a row each: sums[4 q + r] are columns 4 q .. 4 q + 3 of row r.
    var sums: array<vec4<ACC>, TILE_N>;
    for (var k = first_k; k < last_k; k++) {
        let a = vec4<ACC>(load_a(r0, depth), load_a(r1, depth), load_a(r2, depth), load_a(r3, depth));
        for (var half = 0u; half < TILE_N / 8; half++) {
            let b = load_b(depth, first_n + half * 8 + lane);
            let b0 = vec4<ACC>(subgroupShuffle(b, 0u), subgroupShuffle(b, 1u), subgroupShuffle(b, 2u), subgroupShuffle(b, 3u));
            let b1 = vec4<ACC>(subgroupShuffle(b, 4u), subgroupShuffle(b, 5u), subgroupShuffle(b, 6u), subgroupShuffle(b, 7u));
            sums[half * 8] += a.x * b0;
            sums[half * 8 + 1] += a.y * b0;
            sums[half * 8 + 2] += a.z * b0;
            sums[half * 8 + 3] += a.w * b0;
            sums[half * 8 + 4] += a.x * b1;
            sums[half * 8 + 5] += a.y * b1;
            sums[half * 8 + 6] += a.z * b1;
            sums[half * 8 + 7] += a.w * b1;
        }
        depth = next_depth(depth);
    }

    if split * params.k_chunk >= params.k { return; }
    for (var q = 0u; q < TILE_N / 4; q++) {
        for (var r = 0u; r < 4u; r++) {
            let m = first_m + r * 8;
            for (var c = 0u; c < 4u; c++) {
                let n = first_n + q * 4 + c;
                if m < params.m && n < params.n {
                    store(split, m, n, sums[q * 4 + r][c]);
                }
            }
        }
    }
}
