// Params and memory of the kernels of Winograd's convolution F(2x2, 3x3): Y = A^T [(G g G^T) * (B^T d B)] A for each
// tile of 2x2 results, where g is the 3x3 weights, d the 4x4 patch of the source under the tile, and * the elementwise
// product, summed over channels.
//     B^T = 1  0 -1  0      G =  1    0    0      A^T = 1  1  1  0
//           0  1  1  0          1/2  1/2  1/2           0  1 -1 -1
//           0 -1  1  0          1/2 -1/2  1/2
//           0  1  0 -1           0    0    1
// Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv 1509.09308, equations 4, 7 and 8.
//
// Memory: source [batch, source_h, source_w, depth], result [batch, result_h, result_w, columns], weight
// [3, 3, weight_rows, weight_columns]. Transformed values are stored as 16 matrices; position (i, j) of the patch is
// matrix 4 i + j: weights [16, weight_rows, weight_columns], patches [16, tiles, depth], sums [16, tiles, columns]. A
// dispatch handles `tiles` tiles from first_tile on, counted along lines of tiles_w, with tiles_h lines per image.
// Channels count vectors of four.
// Linked with: lib/divide.wgsl. Header: ACC, params.

alias Four = vec4<ACC>;
alias Line = array<Four, 4>;

struct Tile { image: u32, line: u32, column: u32 }

fn tile_at(local: u32) -> Tile {
    let tile = params.first_tile + local;
    let line = divide(tile, params.tiles_w);
    let image = divide(line, params.tiles_h);
    return Tile(image, line - image * params.tiles_h, tile - line * params.tiles_w);
}
