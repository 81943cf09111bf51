// The number of right predictions of a batch and of the targets that count, for count/mean_totals.wgsl.
//
// own_totals: [4], as loss/softmax_cross_entropy_totals.wgsl has it.
// Linked with: nothing. Header: T.

@group(0) @binding(OWN_TOTALS) var<storage, read> own_totals: array<T>;

fn correct() -> T {
    return own_totals[2];
}

fn counted() -> T {
    return own_totals[3];
}
