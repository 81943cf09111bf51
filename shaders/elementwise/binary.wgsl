// output = combine(a, b), element by element, with combine from an operation's file.
//
// a, b, output: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: elementwise/add.wgsl or elementwise/mul.wgsl or elementwise/sub.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: E, params.

@group(0) @binding(A) var<storage, read> a: array<E>;
@group(0) @binding(B) var<storage, read> b: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    output[i] = epilogue(i, combine(a[i], b[i]));
}
