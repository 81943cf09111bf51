// matmul, direct: the formula and the bindings are those of product/matmul.wgsl.
// One invocation owns one element of C, columns fastest. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, product/matmul.wgsl. Header: ACC, params.

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let m = i / params.n;
    let n = i % params.n;
    var from_a = params.a_first + m * params.a_row;
    var from_b = params.b_first + n * params.b_column;
    var sum = ACC(0);
    for (var k = 0u; k < params.k; k++) {
        sum += a[from_a] * b[from_b];
        from_a += params.a_k;
        from_b += params.b_k;
    }
    store(place_of_row(m) + n, n, sum);
}
