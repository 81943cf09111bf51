// output[i, c] = sum over the rows r of chunk i of input[r, c]: the gradient of a bias, and the partial sums of a split
// product. Two dispatches, chunks of rows and then the chunks' sums, add up many rows; the order is fixed by the shape.
//
// input: [rows, columns]; output: [ceil(rows / chunk), columns].
// One invocation owns one element of the output. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl. Header: ACC, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return (params.rows + params.chunk - 1) / params.chunk * params.columns;
}

fn each(i: u32) {
    let column = i % params.columns;
    let first = i / params.columns * params.chunk;
    let last = min(first + params.chunk, params.rows);
    var sum = ACC(0);
    for (var row = first; row < last; row++) {
        sum += input[row * params.columns + column];
    }
    output[i] = T(sum);
}
