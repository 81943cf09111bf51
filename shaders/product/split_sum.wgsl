// The sums of a split-K product: output = epilogue(sum over splits of partials, plus bias), in the order of the splits.
//
// partials: [splits, len] of E; output: [len] of E, rows of `columns` E.
// One invocation owns one E. No workgroup memory, no barrier.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: E, EACC, E_LEN, params.

@group(0) @binding(PARTIALS) var<storage, read> partials: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    var sum = EACC(0);
    for (var split = 0u; split < params.splits; split++) {
        sum += EACC(partials[split * params.len + i]);
    }
    let column = i - divide(i, params.columns) * params.columns;
    output[i] = epilogue(i, biased(sum, column * E_LEN));
}
