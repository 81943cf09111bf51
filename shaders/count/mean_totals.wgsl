// totals = (input rows, rows, correct, counted): the totals for count/accumulate.wgsl, of a mean over a batch.
//
// input: [1], the mean; totals: [4] = sum, sum of weights, correct predictions, counted rows.
// One invocation does all the work. No workgroup memory, no barrier.
// Linked with: count/predictions.wgsl or count/predictions_none.wgsl. Header: T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(TOTALS) var<storage, read_write> totals: array<T>;

@compute @workgroup_size(1)
fn main() {
    totals[0] = input[0] * params.rows;
    totals[1] = T(params.rows);
    totals[2] = correct();
    totals[3] = counted();
}
