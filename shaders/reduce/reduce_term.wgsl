// The terms of reduce/reduce.wgsl are the elements of a tensor.
//
// input: [outer, count, inner].
// Linked with: nothing. Header: ACC, T.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;

fn term(i: u32) -> ACC {
    return ACC(input[i]);
}
