// Winograd's transform of the weights, G g G^T; the formula and the memory are those of conv2d/winograd.wgsl. With
// TURNED the weights are rotated by 180 degrees, as the input's gradient needs. That gives the same matrices in another
// order: lines 0 and 3 are exchanged, and so are columns.
//
// weight: [3, 3, weight_rows, weight_columns]; transformed: [16, weight_rows, weight_columns].
// One invocation owns four neighbouring columns of a row, in all 16 matrices. No workgroup memory, no barrier.
// Linked with: conv2d/winograd.wgsl, lib/each.wgsl. Header: T, TURNED, params.

@group(0) @binding(WEIGHT) var<storage, read> weight: array<vec4<T>>;
@group(0) @binding(TRANSFORMED) var<storage, read_write> transformed: array<vec4<T>>;

fn count() -> u32 {
    return params.weight_rows * params.weight_columns;
}

fn each(i: u32) {
    let rows = array<Line, 3>(transformed_row(0, i), transformed_row(1, i), transformed_row(2, i));
    store_column(0, i, rows[0][0], rows[1][0], rows[2][0]);
    store_column(1, i, rows[0][1], rows[1][1], rows[2][1]);
    store_column(2, i, rows[0][2], rows[1][2], rows[2][2]);
    store_column(3, i, rows[0][3], rows[1][3], rows[2][3]);
}

fn expanded(a: Four, b: Four, c: Four) -> Line {
    return Line(a, 0.5 * (a + b + c), 0.5 * (a - b + c), c);
}

fn transformed_row(kh: u32, i: u32) -> Line {
    let each = params.weight_rows * params.weight_columns;
    let at = 3 * kh * each + i;
    return expanded(Four(weight[at]), Four(weight[at + each]), Four(weight[at + 2 * each]));
}

fn store_column(j: u32, i: u32, a: Four, b: Four, c: Four) {
    let each = params.weight_rows * params.weight_columns;
    let column = expanded(a, b, c);
    transformed[place(0, j) * each + i] = vec4<T>(column[0]);
    transformed[place(1, j) * each + i] = vec4<T>(column[1]);
    transformed[place(2, j) * each + i] = vec4<T>(column[2]);
    transformed[place(3, j) * each + i] = vec4<T>(column[3]);
}

// The matrix of line `line` and column `column` of the transformed window.
fn place(line: u32, column: u32) -> u32 {
    if TURNED {
        return 4 * turned(line) + turned(column);
    }
    return 4 * line + column;
}

fn turned(line: u32) -> u32 {
    return select(line, 3 - line, line % 3 == 0);
}
