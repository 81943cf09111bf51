// state += totals: adds a step's totals to a kept state, and stores the step's loss in a ring of `history` losses. The
// sum of losses uses Kahan summation: state[1] is the excess of the last addition.
//
// loss: [1]; totals: [4], as in loss/softmax_cross_entropy_totals.wgsl; state: [8 + history] = sum of losses, its
// compensation, sum of weights, correct predictions, counted rows, steps, two unused, losses.
// One invocation does all the work. No workgroup memory, no barrier.
// Linked with: nothing. Header: T, params.

@group(0) @binding(LOSS) var<storage, read> loss: array<T>;
@group(0) @binding(TOTALS) var<storage, read> totals: array<T>;
@group(0) @binding(STATE) var<storage, read_write> state: array<T>;

@compute @workgroup_size(1)
fn main() {
    let addend = totals[0] - state[1];
    let sum = state[0] + addend;
    state[1] = (sum - state[0]) - addend;
    state[0] = sum;
    state[2] += totals[1];
    state[3] += totals[2];
    state[4] += totals[3];
    state[8 + u32(state[5]) % params.history] = loss[0];
    state[5] += T(1);
}
