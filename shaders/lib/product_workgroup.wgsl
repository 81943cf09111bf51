// A tiled product for GPUs: C[m, n] = sum over k of A[m, k] B[k, n], the tile's A and B held in workgroup memory and its
// sums in registers. The technique is that of CUTLASS (Kerr et al., "Fast Linear Algebra in CUDA C++", 2017); the sizes of
// tiles are those that WGSL ports of it found good.
//
// lib/product.wgsl says what the file that this is linked with gives; lib/product_workgroup_scalars.wgsl and
// lib/product_workgroup_vectors.wgsl load and store for an E of one element and of four. A_ALONG_K and B_ALONG_K say whether
// neighbours in memory are places in K, or rows of A, columns of B.
//
// One workgroup owns one tile of TILE_M rows and TILE_N columns of one split. Its WG invocations lie in a grid GRID_N wide;
// each owns ROWS rows (4 or 8) of COLUMNS columns (4 or 8; 8 with 8 rows only), in blocks of four by four that lie GRID_M
// and GRID_N blocks apart, so that neighbours read neighbours in workgroup memory. For each TILE_K places in K an
// invocation loads at most a block of four by four of A and one of B.
//
// Workgroup memory: 16 TILE_K (TILE_M / 4 + TILE_N / 4 + 2) bytes, 12,800 with 128 x 64 x 16. Both operands lie there place
// by place in K, A turned if need be, so that four rows of A and four columns of B are one load each.
// Barriers: one before the tiles are written, so that none is overwritten while others still read it, and one after, so
// that all of it is there. Between the second and the next loads there is none: who is done may load already.
// Linked with: conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul.wgsl, conv2d/grad_input_tiled.wgsl or conv2d/grad_weight_tiled.wgsl or conv2d/tiled.wgsl or product/matmul_tiled.wgsl, lib/moments.wgsl, lib/product.wgsl, lib/product_workgroup_scalars.wgsl or lib/product_workgroup_vectors.wgsl, lib/statistics.wgsl or lib/statistics_none.wgsl, lib/workgroup.wgsl. Header: ACC, A_ALONG_K, B_ALONG_K, COLUMNS, ROWS, TILE_K, TILE_M, TILE_N, WG, params.

const QUADS_M: u32 = TILE_M / 4;
const QUADS_N: u32 = TILE_N / 4;
const QUADS_K: u32 = TILE_K / 4;
const GRID_M: u32 = TILE_M / ROWS;
const GRID_N: u32 = TILE_N / COLUMNS;
const BLOCKS_A: u32 = QUADS_M * QUADS_K;
const BLOCKS_B: u32 = QUADS_N * QUADS_K;
const_assert ((COLUMNS == 4 && (ROWS == 4 || ROWS == 8)) || (COLUMNS == 8 && ROWS == 8));
const_assert GRID_M * GRID_N == WG && BLOCKS_A <= WG && BLOCKS_B <= WG;
// One vector further than need be from a place in K to the next: writes of turned blocks meet fewer equal banks.
const PITCH_A: u32 = QUADS_M + 1;
const PITCH_B: u32 = QUADS_N + 1;

// Blocks of what an invocation owns, where their statistics are wanted; how many of the chunk's eight lie below one another.
const PARTS_M: u32 = ROWS / 4;
const PARTS: u32 = select(0u, PARTS_M * (COLUMNS / 4), HAS_STATISTICS);
const BLOCKS: u32 = min(GRID_M, 8u);
const_assert BLOCKS == 8 || (BLOCKS == 4 && PARTS_M == 2);
const_assert WG <= TILE_K * PITCH_A && WG <= TILE_K * PITCH_B;

var<workgroup> tile_a: array<vec4<ACC>, TILE_K * PITCH_A>;
var<workgroup> tile_b: array<vec4<ACC>, TILE_K * PITCH_B>;

// Four vectors of four. No array: nothing then depends on a driver that sees through its indices.
struct Block { v0: vec4<ACC>, v1: vec4<ACC>, v2: vec4<ACC>, v3: vec4<ACC> }

struct Rows { r0: Row, r1: Row, r2: Row, r3: Row }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = tile_of(workgroup_number(workgroup, groups), TILE_M);

    // The invocations that load blocks of B are counted from behind those that load blocks of A: most load only one.
    let number_a = local;
    let number_b = (local + WG - BLOCKS_A % WG) % WG;
    let quad_a = quad_of(number_a, QUADS_M, A_ALONG_K);
    let quad_b = quad_of(number_b, QUADS_N, B_ALONG_K);
    let place_in_a = place_of(number_a, QUADS_M, A_ALONG_K);
    let place_in_b = place_of(number_b, QUADS_N, B_ALONG_K);
    let first_m = tile.first_m + quad_a * 4;
    let rows = Rows(row_of(first_m), row_of(first_m + 1), row_of(first_m + 2), row_of(first_m + 3));
    let column = tile.first_n + quad_b * 4;
    var k_a = k_place_of(tile.first_k + place_in_a);
    var k_b = k_place_of(tile.first_k + place_in_b);

    let x = local % GRID_N;
    let y = local / GRID_N;
    var sums_00: Block;
    var sums_01: Block;
    var sums_10: Block;
    var sums_11: Block;
    for (var k = tile.first_k; k < tile.last_k; k += TILE_K) {
        var a: Block;
        var b: Block;
        if number_a < BLOCKS_A {
            let at = k + place_in_a;
            a = block_a(rows, k_a, tile.last_k - min(at, tile.last_k));
            k_a = next_block(k_a, at + TILE_K);
        }
        if number_b < BLOCKS_B {
            let at = k + place_in_b;
            b = block_b(column, k_b, tile.last_k - min(at, tile.last_k));
            k_b = next_block(k_b, at + TILE_K);
        }
        workgroupBarrier();
        if number_a < BLOCKS_A {
            let at = place_in_a * PITCH_A + quad_a;
            tile_a[at] = a.v0;
            tile_a[at + PITCH_A] = a.v1;
            tile_a[at + 2 * PITCH_A] = a.v2;
            tile_a[at + 3 * PITCH_A] = a.v3;
        }
        if number_b < BLOCKS_B {
            let at = place_in_b * PITCH_B + quad_b;
            tile_b[at] = b.v0;
            tile_b[at + PITCH_B] = b.v1;
            tile_b[at + 2 * PITCH_B] = b.v2;
            tile_b[at + 3 * PITCH_B] = b.v3;
        }
        workgroupBarrier();
        for (var at = 0u; at < TILE_K; at++) {
            let a0 = tile_a[at * PITCH_A + y];
            let b0 = tile_b[at * PITCH_B + x];
            sums_00 = added(sums_00, a0, b0);
            if ROWS == 8 {
                let a1 = tile_a[at * PITCH_A + GRID_M + y];
                sums_10 = added(sums_10, a1, b0);
                if COLUMNS == 8 {
                    let b1 = tile_b[at * PITCH_B + GRID_N + x];
                    sums_01 = added(sums_01, a0, b1);
                    sums_11 = added(sums_11, a1, b1);
                }
            }
        }
    }

    let m = tile.first_m + y * 4;
    let n = tile.first_n + x * 4;
    // The statistics of batch norm's chunks, block by block of what an invocation owns; without them there is no round.
    var earlier: Moments;
    for (var part = 0u; part < PARTS; part++) {
        let low = part % PARTS_M * GRID_M;
        let side = part / PARTS_M * GRID_N;
        var block = sums_00;
        if part == 1 {
            block = sums_10;
        } else if part == 2 {
            block = sums_01;
        } else if part == 3 {
            block = sums_11;
        }
        let moments = moments_of(block.v0, block.v1, block.v2, block.v3, rows_from(m + low * 4, params.m));
        workgroupBarrier();
        tile_a[local] = moments.mean;
        tile_b[local] = moments.m2;
        workgroupBarrier();
        if local < GRID_N * (GRID_M / BLOCKS) && tile.first_k < tile.last_k {
            let row = tile.first_m + (low + y * BLOCKS) * 4;
            var chunk = merged_blocks(row, y * BLOCKS * GRID_N + x);
            if BLOCKS == 4 {
                // The other half of the chunk is the part before, or the next one.
                if part % 2 == 0 {
                    earlier = chunk;
                } else {
                    chunk = merged(earlier, chunk);
                }
            }
            // A chunk that lies wholly below the last row is none. Its own first row decides: its second half may lie there.
            let number = row / CHUNK;
            if (BLOCKS == 8 || part % 2 == 1) && number * CHUNK < params.m {
                let at = number * 2 * params.n;
                note_four(at, n + side * 4, chunk.mean);
                note_four(at + params.n, n + side * 4, chunk.m2);
            }
        }
    }

    if tile.first_k >= tile.last_k { return; }
    store_block(tile.split, m, n, sums_00);
    if ROWS == 8 {
        store_block(tile.split, m + GRID_M * 4, n, sums_10);
        if COLUMNS == 8 {
            store_block(tile.split, m, n + GRID_N * 4, sums_01);
            store_block(tile.split, m + GRID_M * 4, n + GRID_N * 4, sums_11);
        }
    }
}

// Which four rows or columns of the tile block `number` holds, and from which place in K on. Invocations that are
// neighbours load neighbours in memory.
fn quad_of(number: u32, quads: u32, along_k: bool) -> u32 {
    return select(number % quads, number / QUADS_K, along_k);
}

fn place_of(number: u32, quads: u32, along_k: bool) -> u32 {
    return 4 * select(number / quads, number % QUADS_K, along_k);
}

// The place in K TILE_K further on, which is place k: the same run's, where an addition will do.
fn next_block(k_place: KPlace, k: u32) -> KPlace {
    if TILE_K < run_of(k_place) {
        return next_by(k_place, TILE_K);
    }
    return k_place_of(k);
}

// The next place.
fn next_k(k_place: KPlace) -> KPlace {
    if 1 < run_of(k_place) {
        return next_by(k_place, 1);
    }
    return next_run(k_place);
}

// Four rows of A by four places in K, of which `left` exist, loaded place by place; and as many columns of B.
fn block_of_a(rows: Rows, first: KPlace, left: u32) -> Block {
    var block: Block;
    var k_place = first;
    if left > 0 { block.v0 = four_a(rows, k_place); }
    k_place = next_k(k_place);
    if left > 1 { block.v1 = four_a(rows, k_place); }
    k_place = next_k(k_place);
    if left > 2 { block.v2 = four_a(rows, k_place); }
    k_place = next_k(k_place);
    if left > 3 { block.v3 = four_a(rows, k_place); }
    return block;
}

fn block_of_b(column: u32, first: KPlace, left: u32) -> Block {
    var block: Block;
    var k_place = first;
    if left > 0 { block.v0 = four_b(k_place, column); }
    k_place = next_k(k_place);
    if left > 1 { block.v1 = four_b(k_place, column); }
    k_place = next_k(k_place);
    if left > 2 { block.v2 = four_b(k_place, column); }
    k_place = next_k(k_place);
    if left > 3 { block.v3 = four_b(k_place, column); }
    return block;
}

// Adds one place in K: four rows of A by four columns of B.
fn added(sums: Block, a: vec4<ACC>, b: vec4<ACC>) -> Block {
    return Block(sums.v0 + a.x * b, sums.v1 + a.y * b, sums.v2 + a.z * b, sums.v3 + a.w * b);
}

// The statistics of BLOCKS blocks of four rows, the first of which begins at `row` and lies in place `at`.
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

fn store_block(split: u32, m: u32, n: u32, sums: Block) {
    store_row(split, m, n, sums.v0);
    store_row(split, m + 1, n, sums.v1);
    store_row(split, m + 2, n, sums.v2);
    store_row(split, m + 3, n, sums.v3);
}

fn store_row(split: u32, m: u32, n: u32, sum: vec4<ACC>) {
    if m < params.m {
        store_four(place_c(split, m) + n, n, sum);
    }
}
