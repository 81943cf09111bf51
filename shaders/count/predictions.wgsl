// Number of correct predictions of a batch and number of counted targets, for count/mean_totals.wgsl.
//
// own_totals: [4], as in loss/softmax_cross_entropy_totals.wgsl.
// Linked with: nothing. Header: T.

@group(0) @binding(OWN_TOTALS) var<storage, read> own_totals: array<T>;

fn correct() -> T {
    return own_totals[2];
}

fn counted() -> T {
    return own_totals[3];
}
