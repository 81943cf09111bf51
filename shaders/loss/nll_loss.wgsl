// Of each row of log-probabilities x with target t and class weights w the loss -w[t] x[t]; a row whose target is
// ignore_index counts for nothing. Source: torch.nn.NLLLoss.
//
// log_probs: [rows, classes]; targets: [rows]; row_results: [rows, 6] = loss, w[t], whether the largest is the target's, whether
// the row counts, and two zeros: loss/softmax_cross_entropy.wgsl's form, so that the same kernel adds them up.
// One invocation owns one row. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl, loss/class_weight.wgsl or loss/class_weight_none.wgsl. Header: ACC, T, params.

@group(0) @binding(LOG_PROBS) var<storage, read> log_probs: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;
@group(0) @binding(ROW_RESULTS) var<storage, read_write> row_results: array<T>;

fn count() -> u32 {
    return params.rows;
}

fn each(i: u32) {
    let first = i * params.classes;
    let label = targets[i];
    let counts = label != params.ignore_index;
    var loss = ACC(0);
    var weight = T(0);
    var correct = T(0);
    if counts && label >= 0 && u32(label) < params.classes {
        var largest = log_probs[first];
        var best = 0u;
        for (var c = 1u; c < params.classes; c++) {
            let x = log_probs[first + c];
            if x > largest && !is_nan(x) && !is_nan(largest) {
                largest = x;
                best = c;
            }
        }
        weight = weight_of(u32(label));
        loss = -weight * log_probs[first + u32(label)];
        correct = select(T(0), T(1), best == u32(label));
    } else if counts {
        // A label that is no class makes the loss NaN rather than something plausible.
        loss = nan();
    }
    row_results[i * 6] = T(loss);
    row_results[i * 6 + 1] = weight;
    row_results[i * 6 + 2] = correct;
    row_results[i * 6 + 3] = select(T(0), T(1), counts);
    row_results[i * 6 + 4] = T(0);
    row_results[i * 6 + 5] = T(0);
}
