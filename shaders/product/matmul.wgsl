// C[m, n] = sum over k of A[m, k] B[k, n], plus bias[n]: params and bindings of every kernel of matmul. Either operand
// may be transposed in memory, which only changes the distances between its rows, columns and positions in K. If an
// operand is too large for one binding, a dispatch sees a piece of it, and ACCUMULATE adds to the result of earlier
// pieces. It is a constant, since a branch at every store would slow down the whole kernel on software devices.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/product_subgroup8.wgsl. Header: ACCUMULATE, E, EA, EACC, EB, E_LEN, params.

@group(0) @binding(A) var<storage, read> a: array<EA>;
@group(0) @binding(B) var<storage, read> b: array<EB>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn place_of_row(m: u32) -> u32 {
    return params.output_first + m * params.output_row;
}

fn store(at: u32, column: u32, sum: EACC) {
    var value = biased(sum, params.bias_first + column);
    if ACCUMULATE {
        value += output[at / E_LEN];
    }
    output[at / E_LEN] = epilogue(at / E_LEN, value);
}
