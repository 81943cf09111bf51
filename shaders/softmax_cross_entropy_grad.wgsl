// The gradient of the cross-entropy by the logits x of a row with target t, w and e being class weights and smoothing:
//     grad[c] = s ((1 - e) w[t] (p[c] - [c = t]) + (e / C) (p[c] sum(w) - w[c])),  p = exp(x - log_sum)
// with s = grad_output / sum of weights for the mean, grad_output for the sum; 0 in a row that does not count.
//
// grad_output: [1]; logits, grad_logits: [rows, classes]; targets: [rows]; rows, totals: softmax_cross_entropy*.wgsl.
// One invocation owns one logit. No workgroup memory, no barrier.

struct Params { rows: u32, classes: u32, ignore_index: i32, label_smoothing: f32, mean: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<T>;
@group(0) @binding(2) var<storage, read> logits: array<T>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> rows: array<T>;
@group(0) @binding(5) var<storage, read> totals: array<T>;
@group(0) @binding(6) var<storage, read_write> grad_logits: array<T>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.rows * params.classes { return; }
    let row = i / params.classes;
    let class_index = i % params.classes;
    if rows[row * 6 + 3] == T(0) {
        grad_logits[i] = T(0);
        return;
    }
    var scale = grad_output[0];
    if params.mean != 0u {
        scale /= totals[1];
    }
    let p = exp(logits[i] - rows[row * 6 + 4]);
    let hit = select(T(0), T(1), targets[row] == i32(class_index));
    let even = params.label_smoothing / f32(params.classes) * (p * rows[row * 6 + 5] - weight_of(class_index));
    grad_logits[i] = scale * ((1 - params.label_smoothing) * rows[row * 6 + 1] * (p - hit) + even);
}
