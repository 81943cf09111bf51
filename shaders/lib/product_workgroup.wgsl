// A tiled product for GPUs: C[m, n] = sum over k of A[m, k] B[k, n], the tile's A and B held in workgroup memory.
//
// product.wgsl says what the file that this is linked with gives.
//
// One workgroup owns one tile of 64 rows and TILE_N columns of one split; its WG = 64 invocations lie in a grid TILE_N / 4
// wide, each owning TILE_N / 4 rows of four columns. Workgroup memory: 4,096 + 64 TILE_N bytes (8,192 with TILE_N 64).
// Barriers: one after the tiles are loaded, so that all of them are there, one after they are used, so that none is
// overwritten too early.

const TILE_M: u32 = 64;
const TILE_K: u32 = 16;
const GRID_X: u32 = TILE_N / 4;
const QUADS: u32 = TILE_M / 4;

var<workgroup> tile_a: array<vec4<ACC>, TILE_K * QUADS>;
var<workgroup> tile_b: array<vec4<ACC>, TILE_K * GRID_X>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = tile_of(workgroup_number(workgroup, groups), TILE_M);

    // This invocation loads four rows of A at every fourth place of the depth, and four columns of B.
    let quad = local % QUADS;
    let r0 = row_of(tile.first_m + quad * 4);
    let r1 = row_of(tile.first_m + quad * 4 + 1);
    let r2 = row_of(tile.first_m + quad * 4 + 2);
    let r3 = row_of(tile.first_m + quad * 4 + 3);
    let x = local % GRID_X;
    let y = local / GRID_X;
    let column = tile.first_n + x * 4;

    var sums: array<vec4<ACC>, GRID_X>;
    for (var k = tile.first_k; k < tile.last_k; k += TILE_K) {
        for (var at = local / QUADS; at < TILE_K; at += WG / QUADS) {
            var a = vec4<ACC>();
            if k + at < tile.last_k {
                let depth = depth_of(k + at);
                a = vec4<ACC>(
                    load_a(start(place_a(r0, depth))),
                    load_a(start(place_a(r1, depth))),
                    load_a(start(place_a(r2, depth))),
                    load_a(start(place_a(r3, depth))),
                );
            }
            tile_a[at * QUADS + quad] = a;
        }
        for (var at = y; at < TILE_K; at += WG / GRID_X) {
            var b = vec4<ACC>();
            if k + at < tile.last_k {
                let depth = depth_of(k + at);
                b = vec4<ACC>(
                    load_b(start_b(place_b(depth, column))),
                    load_b(start_b(place_b(depth, column + 1))),
                    load_b(start_b(place_b(depth, column + 2))),
                    load_b(start_b(place_b(depth, column + 3))),
                );
            }
            tile_b[at * GRID_X + x] = b;
        }
        workgroupBarrier();
        for (var at = 0u; at < TILE_K; at++) {
            let b = tile_b[at * GRID_X + x];
            for (var q = 0u; q < GRID_X / 4; q++) {
                let a = tile_a[at * QUADS + y * (GRID_X / 4) + q];
                sums[q * 4] += a.x * b;
                sums[q * 4 + 1] += a.y * b;
                sums[q * 4 + 2] += a.z * b;
                sums[q * 4 + 3] += a.w * b;
            }
        }
        workgroupBarrier();
    }

    for (var r = 0u; r < GRID_X; r++) {
        let m = tile.first_m + y * GRID_X + r;
        if tile.first_k >= tile.last_k || m >= params.m { break; }
        let at = place_c(tile.split, m) + column;
        for (var c = 0u; c < 4u; c++) {
            if column + c < params.n {
                store(at + c, column + c, sums[r][c]);
            }
        }
    }
}
