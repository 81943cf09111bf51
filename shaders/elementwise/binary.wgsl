// output = combine(a, b), element by element; `combine` comes from the operation's own file (elementwise/add.wgsl, elementwise/mul.wgsl, ..).
//
// a, b, output: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four where their number allows it. No workgroup memory, no barrier.

@group(0) @binding(A) var<storage, read> a: array<E>;
@group(0) @binding(B) var<storage, read> b: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    output[i] = epilogue(i, combine(a[i], b[i]));
}
