// The cross-entropy of one row of logits x with target t, class weights w and label smoothing e, over C classes, and
// its gradient by the logits, without the factor common to all rows:
//     log_sum = max x + ln(sum exp(x - max x))
//     loss    = (1 - e) w[t] (log_sum - x[t]) + (e / C) sum over c of w[c] (log_sum - x[c])
//     grad[c] = (1 - e) w[t] (p[c] - [c = t]) + (e / C) (p[c] sum(w) - w[c]),  p = exp(x - log_sum)
// A row whose target is ignore_index is not counted. Source: torch.nn.CrossEntropyLoss.
//
// Beside a large max x, ln(sum) would be lost to rounding, so log_sum is kept as two numbers then.
//
// logits: [rows, classes]; targets: [rows].
// Linked with: lib/nan.wgsl, loss/class_weight.wgsl or loss/class_weight_none.wgsl. Header: T, params.

@group(0) @binding(LOGITS) var<storage, read> logits: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;

fn logit(row: u32, class_index: u32) -> T {
    return logits[row * params.classes + class_index];
}

// The numbers shift + rest; rest is 0 for ordinary logits.
struct LogSum { shift: T, rest: T }

// Size of the largest logit above which log_sum is kept as two numbers. Below, rounding takes less than 4e-6 of it.
const LARGE: T = 128;

fn log_sum_of(largest: T, spread: T) -> LogSum {
    if abs(largest) > LARGE {
        return LogSum(largest, spread);
    }
    return LogSum(T(largest + spread), T(0));
}

fn slope_of(row: u32, class_index: u32, weight: T, log_sum: LogSum, weights: T) -> T {
    let log_p = (logit(row, class_index) - log_sum.shift) - log_sum.rest;
    let p = exp_or_nan(log_p);
    let hit = select(T(0), T(1), targets[row] == i32(class_index));
    let even = params.label_smoothing / f32(params.classes) * (p * weights - weight_of(class_index));
    return (1 - params.label_smoothing) * weight * (p - hit) + even;
}
