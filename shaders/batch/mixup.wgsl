// output[n] = lambda input[n] + (1 - lambda) input[rows - 1 - n], row by row: each image is blended with the one at its
// position in the reversed batch. The gradient by the input is the same function of grad_output.
// Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup", arXiv 1710.09412; timm reverses the batch.
//
// input, output: [rows, row] of E, any layout whose outermost extent is the batch, both the same; lambda: [1].
// One invocation owns one E. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(LAMBDA) var<storage, read> lambda: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.rows * params.row;
}

fn each(i: u32) {
    let n = divide(i, params.row);
    let other = (params.rows - 1 - n) * params.row + (i - n * params.row);
    output[i] = lambda[0] * input[i] + (1 - lambda[0]) * input[other];
}
