// Winograd's transform of the patches, B^T d B; the formula and the memory are those of conv2d/winograd.wgsl. Elements
// outside the source are 0.
//
// source: [batch, source_h, source_w, depth]; patches: [16, tiles, depth].
// One invocation owns four neighbouring channels of a tile, in all 16 matrices. No workgroup memory, no barrier.
// Linked with: conv2d/winograd.wgsl, lib/divide.wgsl, lib/each.wgsl. Header: T, params.

@group(0) @binding(SOURCE) var<storage, read> source: array<vec4<T>>;
@group(0) @binding(PATCHES) var<storage, read_write> patches: array<vec4<T>>;

fn count() -> u32 {
    return params.tiles * params.depth;
}

fn each(i: u32) {
    let number = divide(i, params.depth);
    let channel = i - number * params.depth;
    let tile = tile_at(number);

    let rows = array<Line, 4>(
        transformed_row(0, tile, channel),
        transformed_row(1, tile, channel),
        transformed_row(2, tile, channel),
        transformed_row(3, tile, channel),
    );
    store_column(0, i, rows[0][0], rows[1][0], rows[2][0], rows[3][0]);
    store_column(1, i, rows[0][1], rows[1][1], rows[2][1], rows[3][1]);
    store_column(2, i, rows[0][2], rows[1][2], rows[2][2], rows[3][2]);
    store_column(3, i, rows[0][3], rows[1][3], rows[2][3], rows[3][3]);
}

fn reduced(a: Four, b: Four, c: Four, d: Four) -> Line {
    return Line(a - c, b + c, c - b, b - d);
}

fn transformed_row(row: u32, tile: Tile, channel: u32) -> Line {
    // Rows above the source wrap around to large numbers, so one comparison checks both sides; columns alike.
    let h = 2 * tile.line + row - params.pad_top;
    let w = 2 * tile.column - params.pad_left;
    let line = (tile.image * params.source_h + h) * params.source_w;
    let inside = h < params.source_h;
    return reduced(
        load(inside, line, w, channel),
        load(inside, line, w + 1, channel),
        load(inside, line, w + 2, channel),
        load(inside, line, w + 3, channel),
    );
}

fn load(inside: bool, line: u32, w: u32, channel: u32) -> Four {
    if inside && w < params.source_w {
        return Four(source[(line + w) * params.depth + channel]);
    }
    return Four(0);
}

fn store_column(j: u32, i: u32, a: Four, b: Four, c: Four, d: Four) {
    let each = params.tiles * params.depth;
    let column = reduced(a, b, c, d);
    patches[j * each + i] = vec4<T>(column[0]);
    patches[(4 + j) * each + i] = vec4<T>(column[1]);
    patches[(8 + j) * each + i] = vec4<T>(column[2]);
    patches[(12 + j) * each + i] = vec4<T>(column[3]);
}
