// Adds a step's totals to what is kept between steps, and notes the step's loss in a ring of `history` losses.
// The sum of losses is Kahan's: state[1] is what the last addition has put in too much.
//
// loss: [1]; totals: [4], as loss/softmax_cross_entropy_totals.wgsl has it; state: [8 + history] = sum of losses, its
// compensation, sum of weights, right predictions, rows that count, steps, two unused, losses.
// One invocation does it all. No workgroup memory, no barrier.
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
