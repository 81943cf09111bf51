// The loss of one row of logits by the formula of loss/softmax_cross_entropy_row.wgsl. Its sum over c is taken as
//     sum of w[c] (log_sum - x[c]) = ln(sum exp(x - max x)) sum(w) + sum of w[c] (max x - x[c])
// so that one pass computes all sums, and no term in them is negative.
// Linked with: lib/largest.wgsl, lib/nan.wgsl, lib/softmax.wgsl, loss/class_weight.wgsl or loss/class_weight_none.wgsl, loss/softmax_cross_entropy_row.wgsl. Header: ACC, LANES, T, params.

// correct: 1 if the largest logit is the target's; counts: 1 if the row counts; weights: the sum of w.
struct Row { loss: T, weight: T, correct: T, counts: T, shift: T, rest: T, weights: T }

// Sums of exp(x - max x), of w (max x - x) and of w over some classes.
alias Sums = vec3<ACC>;

fn sums_of(row: u32, lane: u32, largest: T) -> Sums {
    var sums = Sums();
    for (var c = lane; c < params.classes; c += LANES) {
        let below = logit(row, c) - largest;
        let weight = weight_of(c);
        sums += Sums(exp_or_nan(below), weight * -below, weight);
    }
    return sums;
}

fn row_of(row: u32, largest: Largest, sums: Sums) -> Row {
    let spread = keep_nan(sums.x, log(sums.x));
    let log_sum = log_sum_of(largest.x, spread);
    let label = targets[row];
    let counts = label != params.ignore_index;
    let known = label >= 0 && u32(label) < params.classes;
    var loss = ACC(0);
    var weight = T(0);
    var correct = T(0);
    if counts && known {
        let target_class = u32(label);
        weight = weight_of(target_class);
        loss = weight * (log_sum.rest + (log_sum.shift - logit(row, target_class)));
        // The sum over the classes is infinite if a logit is minus infinity, and 0 times it would be NaN.
        if params.label_smoothing > 0 {
            let even = spread * sums.z + sums.y;
            loss = (1 - params.label_smoothing) * loss + params.label_smoothing / f32(params.classes) * even;
        }
        correct = select(T(0), T(1), largest.at == target_class);
    } else if counts {
        // A label that is no class makes the loss NaN rather than something plausible.
        loss = nan();
    }
    return Row(T(loss), weight, correct, select(T(0), T(1), counts), log_sum.shift, log_sum.rest, T(sums.z));
}
