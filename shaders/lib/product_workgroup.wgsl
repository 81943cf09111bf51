// A tiled GEMM for GPUs: C[m, n] = sum over k of A[m, k] B[k, n], with the tile's A and B in workgroup memory and its
// sums in registers. The technique is that of CUTLASS (Kerr et al., "Fast Linear Algebra in CUDA C++", 2017).
//
// lib/product.wgsl lists the functions of the linked file. lib/product_a_*.wgsl, product_b_*.wgsl and product_c_*.wgsl
// load and store single elements or vectors of four. A_ALONG_K and B_ALONG_K are true if neighbours in memory are
// positions in K, and false if they are rows of A, columns of B.
//
// One workgroup owns one tile of TILE_M rows and TILE_N columns of one split. Each of its WG invocations owns ROWS rows
// (4 or 8) of COLUMNS columns (4 or 8; 8 with 8 rows only), in blocks of four by four. Every 32 invocations, a warp,
// own a part of the tile that is as compact as possible: LANES_N blocks wide and LANES_M high. The blocks of one
// invocation are that far apart, so that neighbours read neighbours in workgroup memory and a warp reads little of it.
// Consecutive warps lie below one another, so that a wave of 64 owns a compact part too. Neighbouring lanes take turns
// between two rows of blocks: two lanes of each pair then read the same B, and lanes two apart the same A, which lets
// NVIDIA's workgroup memory serve more lanes at once (CUTLASS interleaves its lanes so).
//
// For each TILE_K positions in K an invocation loads at most one block of four by four of A and one of B; if there are
// enough invocations (ONE_EACH), it loads one of either, which needs fewer registers. With one half (HALVES = 1) it
// loads them, waits until all reads of workgroup memory are done, and writes them there. With two halves it loads the
// blocks of the next round before it computes with those of the current one, and the two rounds use different halves.
// The loads are then in flight during the computation, and one barrier per round is enough.
//
// The innermost loop takes UNROLLED positions at once: 4, or 8 if there are few sums for each; 1 on software devices,
// which compile a long loop slowly.
//
// Workgroup memory: 16 HALVES TILE_K (TILE_M / 4 + TILE_N / 4 + 2) bytes, 12,800 with one half of 128 x 64 x 16. Both
// operands are stored position by position in K, A transposed if needed, so that four rows of A and four columns of B
// are one load each.
// Barriers: one after the blocks are written, before they are read, and with one half another before the writes, so
// that no block is overwritten while others still read it.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/moments.wgsl, lib/product.wgsl, lib/product_a_scalars.wgsl or lib/product_a_vectors.wgsl, lib/product_b_scalars.wgsl or lib/product_b_vectors.wgsl, lib/product_c_scalars.wgsl or lib/product_c_vectors.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl, lib/workgroup.wgsl. Header: ACC, A_ALONG_K, B_ALONG_K, COLUMNS, HALVES, ROWS, TILE_K, TILE_M, TILE_N, UNROLLED, WG, params.

const QUADS_M: u32 = TILE_M / 4;
const QUADS_N: u32 = TILE_N / 4;
const QUADS_K: u32 = TILE_K / 4;
// Blocks per invocation, and invocations, along both axes.
const PARTS_M: u32 = ROWS / 4;
const PARTS_N: u32 = COLUMNS / 4;
const GRID_M: u32 = TILE_M / ROWS;
const GRID_N: u32 = TILE_N / COLUMNS;
const BLOCKS_A: u32 = QUADS_M * QUADS_K;
const BLOCKS_B: u32 = QUADS_N * QUADS_K;
const_assert ((COLUMNS == 4 && (ROWS == 4 || ROWS == 8)) || (COLUMNS == 8 && ROWS == 8));
const_assert GRID_M * GRID_N == WG && BLOCKS_A <= WG && BLOCKS_B <= WG;
const ONE_EACH: bool = BLOCKS_A + BLOCKS_B <= WG;
// A warp's lanes, and the number of warps below one another.
const LANES_N: u32 = min(GRID_N, 8u);
const LANES_M: u32 = 32 / LANES_N;
const WARPS_M: u32 = GRID_M / LANES_M;
const_assert WARPS_M * LANES_M == GRID_M && WG % 32 == 0;
// One vector more than needed between positions in K, so that writes of transposed blocks have fewer bank conflicts.
const PITCH_A: u32 = QUADS_M + 1;
const PITCH_B: u32 = QUADS_N + 1;

// Blocks per invocation, if their statistics are needed; the number of the chunk's eight blocks below one another.
const PARTS: u32 = select(0u, PARTS_M * PARTS_N, HAS_STATISTICS);
const BLOCKS: u32 = 8 / PARTS_M;
const_assert PARTS_M == 1 || LANES_M == 4;
// Each invocation has room for the statistics of a block.
const LEAST: u32 = select(0u, WG, HAS_STATISTICS);

var<workgroup> tile_a: array<vec4<ACC>, max(HALVES * TILE_K * PITCH_A, LEAST)>;
var<workgroup> tile_b: array<vec4<ACC>, max(HALVES * TILE_K * PITCH_B, LEAST)>;

// Four vectors of four. It is no array, so that nothing depends on a driver's handling of its indices.
struct Block { v0: vec4<ACC>, v1: vec4<ACC>, v2: vec4<ACC>, v3: vec4<ACC> }

// A block as loaded. Vectors outside the operand were loaded too, from a position that exists. They are set to 0 when
// the block is written to workgroup memory, so that nothing waits for memory earlier.
struct Loaded { block: Block, inside: vec4<bool> }

struct Rows { r0: Row, r1: Row, r2: Row, r3: Row }

// Sums that an invocation owns; without a second block along an axis its sums are unused.
struct Sums { s00: Block, s01: Block, s10: Block, s11: Block }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = tile_of(workgroup_number(workgroup, groups), TILE_M);
    let product = tile.product;

    // Invocations that load blocks of B are counted from the end, and those that load blocks of A from the start, so
    // that most load only one, their first.
    let number_a = local;
    let number_b = (local + WG - BLOCKS_A % WG) % WG;
    let quad_a = quad_of(number_a, QUADS_M, A_ALONG_K);
    let quad_b = quad_of(number_b, QUADS_N, B_ALONG_K);
    let place_in_a = place_of(number_a, QUADS_M, A_ALONG_K);
    let place_in_b = place_of(number_b, QUADS_N, B_ALONG_K);
    let first_m = tile.first_m + quad_a * 4;
    let rows = Rows(
        row_of(product, first_m),
        row_of(product, first_m + 1),
        row_of(product, first_m + 2),
        row_of(product, first_m + 3),
    );
    let column = tile.first_n + quad_b * 4;
    let at_a = place_in_a * PITCH_A + quad_a;
    let at_b = place_in_b * PITCH_B + quad_b;

    // The index of this invocation among GRID_M by GRID_N, and the quads of rows and columns of its first block.
    let warp = local / 32;
    let lane = local % 32;
    let lane_m = lane / (2 * LANES_N) * 2 + lane % 2;
    let lane_n = lane % (2 * LANES_N) / 2;
    let grid_m = warp % WARPS_M * LANES_M + lane_m;
    let grid_n = warp / WARPS_M * LANES_N + lane_n;
    let y = warp % WARPS_M * LANES_M * PARTS_M + lane_m;
    let x = warp / WARPS_M * LANES_N * PARTS_N + lane_n;

    let is_a = number_a < BLOCKS_A;
    let is_b = number_b < BLOCKS_B;
    // The first block's position in K. Only an invocation with two blocks has a position of the second.
    let place = select(place_in_a, place_in_b, ONE_EACH && !is_a);
    var k_place = k_place_of(product, tile.first_k + place);
    var k_b = k_place_of(product, tile.first_k + place_in_b);
    var first: Loaded;
    var second: Loaded;
    if HALVES == 2 && tile.first_k < tile.last_k {
        first = loaded_first(is_a, is_b, product, rows, column, k_place, tile.first_k + place, tile.last_k);
        second = loaded_second(is_b, product, column, k_b, tile.first_k + place_in_b, tile.last_k);
    }
    var sums: Sums;
    var half = 0u;
    for (var k = tile.first_k; k < tile.last_k; k += TILE_K) {
        if HALVES == 1 {
            first = loaded_first(is_a, is_b, product, rows, column, k_place, k + place, tile.last_k);
            second = loaded_second(is_b, product, column, k_b, k + place_in_b, tile.last_k);
            k_place = further(product, k_place, TILE_K, k + place + TILE_K);
            k_b = further(product, k_b, TILE_K, k + place_in_b + TILE_K);
        }
        for (var i = HALVES; i < 2; i++) {
            workgroupBarrier();
        }
        if is_a {
            write_a(half * TILE_K * PITCH_A + at_a, settled_a(first));
        } else if ONE_EACH && is_b {
            write_b(half * TILE_K * PITCH_B + at_b, settled_b(first));
        }
        if !ONE_EACH && is_b {
            write_b(half * TILE_K * PITCH_B + at_b, settled_b(second));
        }
        workgroupBarrier();
        if HALVES == 2 && k + TILE_K < tile.last_k {
            k_place = further(product, k_place, TILE_K, k + place + TILE_K);
            k_b = further(product, k_b, TILE_K, k + place_in_b + TILE_K);
            first = loaded_first(is_a, is_b, product, rows, column, k_place, k + place + TILE_K, tile.last_k);
            second = loaded_second(is_b, product, column, k_b, k + place_in_b + TILE_K, tile.last_k);
        }
        // Only existing positions, so that none is wasted and no compiler unrolls the loop further.
        let places = min(TILE_K, tile.last_k - k);
        var from_a = half * TILE_K * PITCH_A + y;
        var from_b = half * TILE_K * PITCH_B + x;
        for (var at = 0u; at < places; at += UNROLLED) {
            if UNROLLED == 1 {
                add_place(from_a, from_b, &sums);
            } else {
                add_places(from_a, from_b, &sums);
            }
            if UNROLLED == 8 {
                add_places(from_a + 4 * PITCH_A, from_b + 4 * PITCH_B, &sums);
            }
            from_a += UNROLLED * PITCH_A;
            from_b += UNROLLED * PITCH_B;
        }
        half = HALVES - 1 - half;
    }

    let m = tile.first_m + y * 4;
    let n = tile.first_n + x * 4;
    let first_n = first_column(product);
    // The statistics of batch norm's chunks, block by block. Without them the loop is empty.
    var earlier: Moments;
    for (var part = 0u; part < PARTS; part++) {
        let low = part % PARTS_M * LANES_M;
        let side = part / PARTS_M * LANES_N;
        var block = sums.s00;
        if part == 1 {
            block = sums.s10;
        } else if part == 2 {
            block = sums.s01;
        } else if part == 3 {
            block = sums.s11;
        }
        let moments = moments_of(block.v0, block.v1, block.v2, block.v3, rows_from(m + low * 4, params.m));
        workgroupBarrier();
        tile_a[grid_m * GRID_N + grid_n] = moments.mean;
        tile_b[grid_m * GRID_N + grid_n] = moments.m2;
        workgroupBarrier();
        // Invocation i takes column i % GRID_N of the chunk i / GRID_N from the top.
        let number = tile.first_m / CHUNK + local / GRID_N;
        if local < GRID_N * (GRID_M / BLOCKS) && tile.is_there {
            let row = number * CHUNK + low * 4;
            var chunk = merged_blocks(row, local / GRID_N * BLOCKS * GRID_N + local % GRID_N);
            if BLOCKS == 4 {
                // The other half of the chunk is the previous part, or the next one.
                if part % 2 == 0 {
                    earlier = chunk;
                } else {
                    chunk = merged(earlier, chunk);
                }
            }
            // A chunk that lies entirely below the last row does not exist.
            if (BLOCKS == 8 || part % 2 == 1) && number * CHUNK < params.m {
                let quad = local % GRID_N / LANES_N * LANES_N * PARTS_N + side + local % LANES_N;
                let at = number * 2 * row_pitch() + first_n;
                note_four(at, tile.first_n + quad * 4, chunk.mean);
                note_four(at + row_pitch(), tile.first_n + quad * 4, chunk.m2);
            }
        }
    }

    if !tile.is_there { return; }
    store_block(tile, m, n, first_n, sums.s00);
    if ROWS == 8 {
        store_block(tile, m + LANES_M * 4, n, first_n, sums.s10);
        if COLUMNS == 8 {
            store_block(tile, m, n + LANES_N * 4, first_n, sums.s01);
            store_block(tile, m + LANES_M * 4, n + LANES_N * 4, first_n, sums.s11);
        }
    }
}

// The four rows or columns of the tile that block `number` holds, and its first position in K. Neighbouring invocations
// load neighbours in memory.
fn quad_of(number: u32, quads: u32, along_k: bool) -> u32 {
    return select(number % quads, number / QUADS_K, along_k);
}

fn place_of(number: u32, quads: u32, along_k: bool) -> u32 {
    return 4 * select(number / quads, number % QUADS_K, along_k);
}

// The first block of an invocation, whose first position in K is k: one of A, or one of B.
fn loaded_first(is_a: bool, is_b: bool, product: u32, rows: Rows, column: u32, k_place: KPlace, k: u32, last_k: u32) -> Loaded {
    let left = last_k - min(k, last_k);
    if is_a {
        return block_a(product, rows, k_place, k, left);
    }
    if ONE_EACH && is_b {
        return block_b(product, column, k_place, k, left);
    }
    return Loaded();
}

// The second: one of B.
fn loaded_second(is_b: bool, product: u32, column: u32, k_place: KPlace, k: u32, last_k: u32) -> Loaded {
    if !ONE_EACH && is_b {
        return block_b(product, column, k_place, k, last_k - min(k, last_k));
    }
    return Loaded();
}

// Sets vectors outside the operand to 0.
fn masked(loaded: Loaded) -> Block {
    let block = loaded.block;
    let zero = vec4<ACC>();
    return Block(
        select(zero, block.v0, loaded.inside.x),
        select(zero, block.v1, loaded.inside.y),
        select(zero, block.v2, loaded.inside.z),
        select(zero, block.v3, loaded.inside.w),
    );
}

// Transposes a block, from vectors along K to vectors across it.
fn turned(b: Block) -> Block {
    return Block(
        vec4<ACC>(b.v0.x, b.v1.x, b.v2.x, b.v3.x),
        vec4<ACC>(b.v0.y, b.v1.y, b.v2.y, b.v3.y),
        vec4<ACC>(b.v0.z, b.v1.z, b.v2.z, b.v3.z),
        vec4<ACC>(b.v0.w, b.v1.w, b.v2.w, b.v3.w),
    );
}

fn write_a(at: u32, block: Block) {
    tile_a[at] = block.v0;
    tile_a[at + PITCH_A] = block.v1;
    tile_a[at + 2 * PITCH_A] = block.v2;
    tile_a[at + 3 * PITCH_A] = block.v3;
}

fn write_b(at: u32, block: Block) {
    tile_b[at] = block.v0;
    tile_b[at + PITCH_B] = block.v1;
    tile_b[at + 2 * PITCH_B] = block.v2;
    tile_b[at + 3 * PITCH_B] = block.v3;
}

// Adds four positions in K to all sums of an invocation.
fn add_places(at_a: u32, at_b: u32, sums: ptr<function, Sums>) {
    add_place(at_a, at_b, sums);
    add_place(at_a + PITCH_A, at_b + PITCH_B, sums);
    add_place(at_a + 2 * PITCH_A, at_b + 2 * PITCH_B, sums);
    add_place(at_a + 3 * PITCH_A, at_b + 3 * PITCH_B, sums);
}

fn add_place(at_a: u32, at_b: u32, sums: ptr<function, Sums>) {
    let a0 = tile_a[at_a];
    let b0 = tile_b[at_b];
    (*sums).s00 = added((*sums).s00, a0, b0);
    if ROWS == 8 {
        let a1 = tile_a[at_a + LANES_M];
        (*sums).s10 = added((*sums).s10, a1, b0);
        if COLUMNS == 8 {
            let b1 = tile_b[at_b + LANES_N];
            (*sums).s01 = added((*sums).s01, a0, b1);
            (*sums).s11 = added((*sums).s11, a1, b1);
        }
    }
}

// Adds one position in K: four rows of A by four columns of B.
fn added(sums: Block, a: vec4<ACC>, b: vec4<ACC>) -> Block {
    return Block(sums.v0 + a.x * b, sums.v1 + a.y * b, sums.v2 + a.z * b, sums.v3 + a.w * b);
}

// The statistics of BLOCKS blocks of four rows. The first begins at `row` and is stored at index `at`.
fn merged_blocks(row: u32, at: u32) -> Moments {
    let first = merged(
        merged(block_at(row, at), block_at(row + 4, at + GRID_N)),
        merged(block_at(row + 8, at + 2 * GRID_N), block_at(row + 12, at + 3 * GRID_N)),
    );
    if BLOCKS == 4 {
        return first;
    }
    let next = at + 4 * GRID_N;
    let second = merged(
        merged(block_at(row + 16, next), block_at(row + 20, next + GRID_N)),
        merged(block_at(row + 24, next + 2 * GRID_N), block_at(row + 28, next + 3 * GRID_N)),
    );
    return merged(first, second);
}

fn block_at(row: u32, at: u32) -> Moments {
    return Moments(tile_a[at], tile_b[at], ACC(rows_from(row, params.m)));
}

fn store_block(tile: Tile, m: u32, n: u32, first_n: u32, sums: Block) {
    store_row(tile, m, n, first_n, sums.v0);
    store_row(tile, m + 1, n, first_n, sums.v1);
    store_row(tile, m + 2, n, first_n, sums.v2);
    store_row(tile, m + 3, n, first_n, sums.v3);
}

fn store_row(tile: Tile, m: u32, n: u32, first_n: u32, sum: vec4<ACC>) {
    if has_row(tile.product, m) {
        store_four(place_c(tile, m) + first_n, first_n, n, sum);
    }
}
