// The largest of the logits lane, lane + LANES, .. of a row.
// Linked with: lib/largest.wgsl, loss/log_softmax.wgsl or loss/softmax_cross_entropy_row.wgsl. Header: LANES, params.

fn largest_of(row: u32, lane: u32) -> Largest {
    var largest = none_yet();
    for (var c = lane; c < params.classes; c += LANES) {
        largest = larger(largest, Largest(logit(row, c), c));
    }
    return largest;
}
