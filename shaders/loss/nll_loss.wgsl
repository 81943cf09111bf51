// The loss -w[t] x[t] of each row of log-probabilities x with target t and class weights w; a row whose target is
// ignore_index is not counted. Source: torch.nn.NLLLoss.
//
// log_probs: [rows, classes]; targets: [rows]; row_results: [rows, 7] = loss, w[t], 1 if the largest is the target's, 1
// if the row counts, and three zeros: the form of loss/softmax_cross_entropy.wgsl, so that the same kernel adds them up.
// Workgroups, invocations, workgroup memory and barriers: lib/row.wgsl; a Part is the largest and its index.
// Linked with: lib/largest.wgsl, lib/nan.wgsl, lib/row.wgsl, loss/class_weight.wgsl or loss/class_weight_none.wgsl. Header: ACC, LANES, T, params.

@group(0) @binding(LOG_PROBS) var<storage, read> log_probs: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;
@group(0) @binding(ROW_RESULTS) var<storage, read_write> row_results: array<T>;

alias Part = Largest;

fn part(row: u32, lane: u32) -> Part {
    var largest = none_yet();
    for (var c = lane; c < params.classes; c += LANES) {
        largest = larger(largest, Largest(log_probs[row * params.classes + c], c));
    }
    return largest;
}

fn joined(a: Part, b: Part) -> Part {
    return larger(a, b);
}

fn whole(row: u32, lane: u32, largest: Part) {
    if lane > 0 { return; }
    let label = targets[row];
    let counts = label != params.ignore_index;
    var loss = ACC(0);
    var weight = T(0);
    var correct = T(0);
    if counts && label >= 0 && u32(label) < params.classes {
        weight = weight_of(u32(label));
        loss = -weight * log_probs[row * params.classes + u32(label)];
        correct = select(T(0), T(1), largest.at == u32(label));
    } else if counts {
        // A label that is no class makes the loss NaN rather than something plausible.
        loss = nan();
    }
    row_results[row * 7] = T(loss);
    row_results[row * 7 + 1] = weight;
    row_results[row * 7 + 2] = correct;
    row_results[row * 7 + 3] = select(T(0), T(1), counts);
    row_results[row * 7 + 4] = T(0);
    row_results[row * 7 + 5] = T(0);
    row_results[row * 7 + 6] = T(0);
}
