// loss = lambda own + (1 - lambda) other of the losses for both targets of blended images, and the same for their
// totals. Correct predictions are those of the larger weight, the own for halves. Both have the same number of counted
// rows, and the same weights in another order. Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup", arXiv 1710.09412.
//
// own_loss, other_loss, loss: [1]; own_totals, other_totals, totals: [4], as in loss/softmax_cross_entropy_totals.wgsl;
// lambda: [1].
// One invocation does all the work. No workgroup memory, no barrier.
// Linked with: nothing. Header: T, params.

@group(0) @binding(OWN_LOSS) var<storage, read> own_loss: array<T>;
@group(0) @binding(OWN_TOTALS) var<storage, read> own_totals: array<T>;
@group(0) @binding(OTHER_LOSS) var<storage, read> other_loss: array<T>;
@group(0) @binding(OTHER_TOTALS) var<storage, read> other_totals: array<T>;
@group(0) @binding(LAMBDA) var<storage, read> lambda: array<T>;
@group(0) @binding(LOSS) var<storage, read_write> loss: array<T>;
@group(0) @binding(TOTALS) var<storage, read_write> totals: array<T>;

@compute @workgroup_size(1)
fn main(@builtin(local_invocation_index) local: u32) {
    if local >= params.rows { return; }
    let rest = 1 - lambda[0];
    loss[0] = lambda[0] * own_loss[0] + rest * other_loss[0];
    totals[0] = lambda[0] * own_totals[0] + rest * other_totals[0];
    totals[1] = own_totals[1];
    totals[2] = select(other_totals[2], own_totals[2], lambda[0] >= 0.5);
    totals[3] = own_totals[3];
}
