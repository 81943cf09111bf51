// The elements of a tensor as terms of reduce/reduce.wgsl.
//
// input: [outer, rows, columns] of E.
// Linked with: nothing. Header: E, EACC.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;

fn term(i: u32) -> EACC {
    return EACC(input[i]);
}
