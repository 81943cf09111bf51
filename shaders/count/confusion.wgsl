// Counts predictions of each row with target t and predicted class p, and state[0] += 1 if t is among the k largest
// logits, that is if fewer than k are greater. Source: scikit-learn's confusion_matrix, torch.topk.
// The counts of pairs are those of count/confusion_matrix.wgsl or count/confusion_by_class.wgsl.
// p is the first of the largest logits, as in loss/softmax_cross_entropy_row.wgsl. Compared with the target's logit, a
// NaN logit is greater than every number; a target whose own logit is NaN is not among the k largest.
//
// logits: [rows, classes]; targets: [rows], negative ones and ignore_index omitted; state: [4 + counts] =
// top-k correct predictions, k, targets that are no class, the classes if there is no matrix, then the counts; integers,
// which f32 cannot hold.
// Counts are shared among invocations, but sums of integers are the same in any order. Workgroups, invocations,
// workgroup memory and barriers: lib/row.wgsl; a Part takes 12 bytes.
// Linked with: count/confusion_by_class.wgsl or count/confusion_matrix.wgsl, lib/largest.wgsl, lib/nan.wgsl, lib/row.wgsl. Header: LANES, T, params.

@group(0) @binding(LOGITS) var<storage, read> logits: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;

// greater: number of logits greater than the target's.
struct Part { largest: Largest, greater: u32 }

fn is_class(label: i32) -> bool {
    return label >= 0 && u32(label) < params.classes;
}

fn part(row: u32, lane: u32) -> Part {
    let first = row * params.classes;
    let label = targets[row];
    let own = logits[first + select(0u, u32(label), is_class(label))];
    var part = Part(none_yet(), 0u);
    for (var c = lane; c < params.classes; c += LANES) {
        let x = logits[first + c];
        part.largest = larger(part.largest, Largest(x, c));
        part.greater += select(0u, 1u, is_nan(x) || x > own);
    }
    return part;
}

fn joined(a: Part, b: Part) -> Part {
    return Part(larger(a.largest, b.largest), a.greater + b.greater);
}

fn whole(row: u32, lane: u32, part: Part) {
    if lane > 0 { return; }
    // All invocations store the same word.
    atomicStore(&state[1], params.top_k);
    atomicStore(&state[3], classes_without_matrix());
    let label = targets[row];
    if label < 0 || label == params.ignore_index { return; }
    if !is_class(label) {
        atomicAdd(&state[2], 1u);
        return;
    }
    let own = logits[row * params.classes + u32(label)];
    count_pair(u32(label), part.largest.at);
    if !is_nan(own) && part.greater < params.top_k {
        atomicAdd(&state[0], 1u);
    }
}
