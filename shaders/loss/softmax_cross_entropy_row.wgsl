// The cross-entropy of one row of logits x with target t, class weights w and label smoothing e, over C classes, and its
// gradient by the logits, without the factor that is the same for all rows:
//     log_sum = max x + ln(sum exp(x - max x))
//     loss    = (1 - e) w[t] (log_sum - x[t]) + (e / C) sum over c of w[c] (log_sum - x[c])
//     grad[c] = (1 - e) w[t] (p[c] - [c = t]) + (e / C) (p[c] sum(w) - w[c]),  p = exp(x - log_sum)
// A row whose target is ignore_index counts for nothing. Source: torch.nn.CrossEntropyLoss.
//
// logits: [rows, classes]; targets: [rows].
// Linked with: lib/nan.wgsl, loss/class_weight.wgsl or loss/class_weight_none.wgsl. Header: ACC, T, params.

@group(0) @binding(LOGITS) var<storage, read> logits: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;

// correct: whether the largest logit is the target's; counts: whether the row does; weights: the sum of w.
struct Row { loss: T, weight: T, correct: T, counts: T, log_sum: T, weights: T }

fn row_of(row: u32) -> Row {
    let first = row * params.classes;
    var largest = logits[first];
    var best = 0u;
    for (var c = 1u; c < params.classes; c++) {
        let x = logits[first + c];
        if x > largest && !is_nan(x) && !is_nan(largest) {
            largest = x;
            best = c;
        }
    }
    var sum = ACC(0);
    for (var c = 0u; c < params.classes; c++) {
        sum += exp(logits[first + c] - largest);
    }
    let log_sum = largest + log(sum);
    var even = ACC(0);
    var weights = ACC(0);
    for (var c = 0u; c < params.classes; c++) {
        even += weight_of(c) * (log_sum - logits[first + c]);
        weights += weight_of(c);
    }

    let label = targets[row];
    let counts = label != params.ignore_index;
    let known = label >= 0 && u32(label) < params.classes;
    var loss = ACC(0);
    var weight = T(0);
    var correct = T(0);
    if counts && known {
        let target_class = u32(label);
        weight = weight_of(target_class);
        let nll = weight * (log_sum - logits[first + target_class]);
        loss = (1 - params.label_smoothing) * nll + params.label_smoothing / f32(params.classes) * even;
        correct = select(T(0), T(1), best == target_class);
    } else if counts {
        // A label that is no class makes the loss NaN rather than something plausible.
        loss = nan();
    }
    return Row(T(loss), weight, correct, select(T(0), T(1), counts), T(log_sum), T(weights));
}

fn slope_of(row: u32, class_index: u32, weight: T, log_sum: T, weights: T) -> T {
    let p = exp(logits[row * params.classes + class_index] - log_sum);
    let hit = select(T(0), T(1), targets[row] == i32(class_index));
    let even = params.label_smoothing / f32(params.classes) * (p * weights - weight_of(class_index));
    return (1 - params.label_smoothing) * weight * (p - hit) + even;
}
