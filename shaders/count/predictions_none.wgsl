// Counts of zero for a mean without predictions, for count/mean_totals.wgsl.
// Linked with: nothing. Header: T.

fn correct() -> T {
    return T(0);
}

fn counted() -> T {
    return T(0);
}
