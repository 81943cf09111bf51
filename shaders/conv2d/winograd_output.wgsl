// Winograd's transform of the sums to results, A^T m A, then the epilogue; the formula and the memory are those of
// conv2d/winograd.wgsl. A tile at the last line or column of an odd image has results outside it, which are not stored.
//
// sums: [16, tiles, columns]; result: [batch, result_h, result_w, columns].
// One invocation owns four neighbouring channels of a tile: up to four pixels. No workgroup memory, no barrier.
// Linked with: conv2d/winograd.wgsl, lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: T, params.

@group(0) @binding(SUMS) var<storage, read> sums: array<vec4<T>>;
@group(0) @binding(RESULT) var<storage, read_write> result: array<vec4<T>>;

fn count() -> u32 {
    return params.tiles * params.columns;
}

fn each(i: u32) {
    let number = divide(i, params.columns);
    let channel = i - number * params.columns;
    let tile = tile_at(number);

    let rows = array<array<Four, 2>, 4>(
        transformed_row(0, i),
        transformed_row(1, i),
        transformed_row(2, i),
        transformed_row(3, i),
    );
    let left = reduced(rows[0][0], rows[1][0], rows[2][0], rows[3][0]);
    let right = reduced(rows[0][1], rows[1][1], rows[2][1], rows[3][1]);
    store(tile, 0, 0, channel, left[0]);
    store(tile, 0, 1, channel, right[0]);
    store(tile, 1, 0, channel, left[1]);
    store(tile, 1, 1, channel, right[1]);
}

fn reduced(a: Four, b: Four, c: Four, d: Four) -> array<Four, 2> {
    return array<Four, 2>(a + b + c, b - c - d);
}

fn transformed_row(row: u32, i: u32) -> array<Four, 2> {
    let each = params.tiles * params.columns;
    let at = 4 * row * each + i;
    return reduced(Four(sums[at]), Four(sums[at + each]), Four(sums[at + 2 * each]), Four(sums[at + 3 * each]));
}

fn store(tile: Tile, row: u32, column: u32, channel: u32, sum: Four) {
    let h = 2 * tile.line + row;
    let w = 2 * tile.column + column;
    if h < params.result_h && w < params.result_w {
        let at = ((tile.image * params.result_h + h) * params.result_w + w) * params.columns + channel;
        result[at] = epilogue(at, biased(sum, 4 * channel));
    }
}
