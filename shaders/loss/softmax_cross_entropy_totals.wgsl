// The sums over all rows of the cross-entropy, and the loss: their sum, or their mean, over the sum of the weights.
//
// row_results: [rows, 7], as in loss/softmax_cross_entropy.wgsl, or fewer rows of the same sums; totals: [4] = sum of
// losses, sum of weights, correct predictions, counted rows; loss: [1].
// One workgroup; its invocation i adds up the rows i, i + WG, .. in a fixed order.
// Workgroup memory and barriers: lib/workgroup_sum.wgsl, 16 WG bytes.
// Linked with: lib/workgroup_sum.wgsl. Header: ACC, T, WG, params.

@group(0) @binding(ROW_RESULTS) var<storage, read> row_results: array<T>;
@group(0) @binding(TOTALS) var<storage, read_write> totals: array<T>;
@group(0) @binding(LOSS) var<storage, read_write> loss: array<T>;

alias Sum = vec4<ACC>;

fn part(workgroup: u32, local: u32) -> Sum {
    var sum = Sum();
    for (var row = local; row < params.rows; row += WG) {
        sum += vec4<ACC>(row_results[row * 7], row_results[row * 7 + 1], row_results[row * 7 + 2], row_results[row * 7 + 3]);
    }
    return sum;
}

fn whole(workgroup: u32, local: u32) {
    if local != 0u { return; }
    let total = sum_of_parts();
    totals[0] = T(total.x);
    totals[1] = T(total.y);
    totals[2] = T(total.z);
    totals[3] = T(total.w);
    loss[0] = T(select(total.x, total.x / total.y, params.mean != 0u));
}
