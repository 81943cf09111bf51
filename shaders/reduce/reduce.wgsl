// output[o, k, c] = scale times the sum of term(o, r, c) over r = k, k + runs, k + 2 runs, .. below count: a sum over the
// middle of three axes, the first of two or more dispatches where it is long. `term` comes from another file
// (reduce/reduce_term.wgsl, loss/mse_loss.wgsl). Source: torch.sum, torch.mean.
//
// term: [outer, count, inner]; output: [outer, runs, inner].
// One invocation owns one element of the output; those side by side read side by side. The order of the terms is fixed by
// the extents. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, loss/mse_loss.wgsl or reduce/reduce_term.wgsl. Header: ACC, T, params.

@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.outer * params.runs * params.inner;
}

fn each(i: u32) {
    let line = divide(i, params.inner);
    let outer = divide(line, params.runs);
    let base = outer * params.count * params.inner + (i - line * params.inner);
    var sum = ACC(0);
    for (var r = line - outer * params.runs; r < params.count; r += params.runs) {
        sum += term(base + r * params.inner);
    }
    output[i] = T(sum * params.scale);
}
