// Counts predictions: state[4 + t C + p] += 1 for each row with target t and predicted class p, and state[0] += 1 where t is
// among the k largest logits, that is where fewer than k are greater. Source: scikit-learn's confusion_matrix, torch.topk.
// p is the first of the largest logits, as in loss/softmax_cross_entropy_row.wgsl. NaN is greater than every number among the
// logits that stand against the target's, which itself is not among the k largest where it is NaN.
//
// logits: [rows, classes]; targets: [rows], those that are negative or ignore_index left out; state: [4 + classes, classes] =
// top-k right predictions, k, targets that are no class, unused, then the matrix; whole numbers, which no f32 holds.
// One invocation owns one row. Counts are shared, but sums of whole numbers are the same in any order.
// No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl. Header: T, params.

@group(0) @binding(LOGITS) var<storage, read> logits: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;
@group(0) @binding(STATE) var<storage, read_write> state: array<atomic<u32>>;

fn count() -> u32 {
    return params.rows;
}

fn each(row: u32) {
    // The same word by all of them.
    atomicStore(&state[1], params.top_k);
    let label = targets[row];
    if label < 0 || label == params.ignore_index { return; }
    if u32(label) >= params.classes {
        atomicAdd(&state[2], 1u);
        return;
    }
    let first = row * params.classes;
    let own = logits[first + u32(label)];
    var largest = logits[first];
    var best = 0u;
    var greater = 0u;
    for (var c = 0u; c < params.classes; c++) {
        let x = logits[first + c];
        if !is_nan(x) && x > largest && !is_nan(largest) {
            largest = x;
            best = c;
        }
        greater += select(0u, 1u, is_nan(x) || x > own);
    }
    atomicAdd(&state[4u + u32(label) * params.classes + best], 1u);
    if !is_nan(own) && greater < params.top_k {
        atomicAdd(&state[0], 1u);
    }
}
