// Of each row of logits x with target t, class weights w and label smoothing e, over C classes:
//     log_sum = max x + ln(sum exp(x - max x))
//     loss    = (1 - e) w[t] (log_sum - x[t]) + (e / C) sum over c of w[c] (log_sum - x[c])
// A row whose target is ignore_index counts for nothing. Source: torch.nn.CrossEntropyLoss.
//
// logits: [rows, classes]; targets: [rows]; rows: [rows, 6] = loss, w[t], whether the largest logit is the target's,
// whether the row counts, log_sum, sum of w.
// One invocation owns one row. No workgroup memory, no barrier.

struct Params { rows: u32, classes: u32, ignore_index: i32, label_smoothing: f32, mean: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<T>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> rows: array<T>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let row = invocation_number(workgroup, groups, local);
    if row >= params.rows { return; }
    let first = row * params.classes;
    var largest = logits[first];
    var best = 0u;
    for (var c = 1u; c < params.classes; c++) {
        let x = logits[first + c];
        if x > largest {
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
        var nan = 0x7fc00000u;
        loss = bitcast<f32>(nan);
    }
    rows[row * 6] = T(loss);
    rows[row * 6 + 1] = weight;
    rows[row * 6 + 2] = correct;
    rows[row * 6 + 3] = select(T(0), T(1), counts);
    rows[row * 6 + 4] = T(log_sum);
    rows[row * 6 + 5] = T(weights);
}
