// The fused cross-entropy and its gradient by the logits, for few rows and classes and a grad_output of 1. The formulas
// are those of loss/softmax_cross_entropy_row.wgsl, loss/softmax_cross_entropy_totals.wgsl and
// loss/softmax_cross_entropy_grad.wgsl, and so is the order of every sum.
//
// totals: [4] = sum of losses, sum of weights, correct predictions, counted rows; loss: [1]; grad_logits:
// [rows, classes].
// One workgroup. LANES invocations own a row, as in lib/softmax.wgsl, and the rows are processed WG / LANES at a time.
// Then the results of all rows, of which there are at most ROWS, are added up. Then invocation i owns the logits i,
// i + WG, ..
// LANES and WG are powers of two. Workgroup memory: 24 WG and 32 ROWS bytes. A barrier separates the writes of each
// step from the reads of the next.
// Linked with: lib/divide.wgsl, lib/largest.wgsl, lib/softmax_largest.wgsl, loss/softmax_cross_entropy_row.wgsl, loss/softmax_cross_entropy_sums.wgsl. Header: ACC, LANES, ROWS, T, WG, params.

@group(0) @binding(TOTALS) var<storage, read_write> totals: array<T>;
@group(0) @binding(LOSS) var<storage, read_write> loss: array<T>;
@group(0) @binding(GRAD_LOGITS) var<storage, read_write> grad_logits: array<T>;

const ROWS_AT_ONCE: u32 = WG / LANES;

var<workgroup> largests: array<Largest, WG>;
var<workgroup> parts: array<Sums, WG>;
// Per row: loss, weight, correct, counts; then their partial sums.
var<workgroup> results: array<vec4<ACC>, ROWS>;
// Per row: weight, shift, rest, weights.
var<workgroup> kept: array<vec4<T>, ROWS>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) local: u32) {
    let lane = local % LANES;
    for (var first = 0u; first < params.rows; first += ROWS_AT_ONCE) {
        let number = first + local / LANES;
        let is_there = number < params.rows;
        if is_there {
            largests[local] = largest_of(number, lane);
        }
        for (var count = LANES / 2; count > 0; count /= 2u) {
            workgroupBarrier();
            if lane < count {
                largests[local] = larger(largests[local], largests[local + count]);
            }
        }
        workgroupBarrier();
        if is_there {
            parts[local] = sums_of(number, lane, largests[local - lane].x);
        }
        for (var count = LANES / 2; count > 0; count /= 2u) {
            workgroupBarrier();
            if lane < count {
                parts[local] += parts[local + count];
            }
        }
        if is_there && lane == 0 {
            let row = row_of(number, largests[local], parts[local]);
            results[number] = vec4<ACC>(row.loss, row.weight, row.correct, row.counts);
            kept[number] = vec4<T>(row.weight, row.shift, row.rest, row.weights);
        }
    }
    workgroupBarrier();
    var sum = vec4<ACC>();
    for (var number = local; number < params.rows; number += WG) {
        sum += results[number];
    }
    // No other invocation reads this one.
    results[local] = sum;
    for (var count = WG / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if local < count {
            results[local] += results[local + count];
        }
    }
    workgroupBarrier();
    let total = results[0];
    if local == 0u {
        totals[0] = T(total.x);
        totals[1] = T(total.y);
        totals[2] = T(total.z);
        totals[3] = T(total.w);
        loss[0] = T(select(total.x, total.x / total.y, params.mean != 0u));
    }
    var scale = T(1);
    if params.mean != 0u {
        scale /= T(total.y);
    }
    for (var i = local; i < params.rows * params.classes; i += WG) {
        let number = divide(i, params.classes);
        let row = kept[number];
        let slope = scale * slope_of(number, i - number * params.classes, row.x, LogSum(row.y, row.z), row.w);
        // Uncounted rows stay 0, even if all rows are uncounted and the scale is not finite.
        grad_logits[i] = select(slope, T(0), targets[number] == params.ignore_index);
    }
}
