// norm = sqrt(sum of partial), factor = min(1, max_norm / (norm + 1e-6)): the norm of all gradients together, and the
// factor by which they are multiplied. A norm of NaN makes the factor NaN, as in PyTorch; an infinite one makes it 0.
// Source: torch.nn.utils.clip_grad_norm_ with norm_type 2 and error_if_nonfinite=False.
//
// partial: [count], as in update/clip_grad_norm.wgsl; grad_norm: [2] = norm, factor.
// One workgroup; its invocation i adds up the numbers i, i + WG, .. in a fixed order. Workgroup memory and barriers:
// lib/workgroup_sum.wgsl, 4 WG bytes.
// Linked with: lib/nan.wgsl, lib/workgroup_sum.wgsl. Header: ACC, T, WG, params.

@group(0) @binding(PARTIAL) var<storage, read> partial: array<T>;
@group(0) @binding(GRAD_NORM) var<storage, read_write> grad_norm: array<T>;

alias Sum = ACC;

fn part(workgroup: u32, local: u32) -> Sum {
    var sum = ACC(0);
    for (var i = local; i < params.count; i += WG) {
        sum += ACC(partial[i]);
    }
    return sum;
}

fn whole(workgroup: u32, local: u32) {
    if local != 0u { return; }
    let total = sum_of_parts();
    // WGSL lets sqrt() and min() lose NaN.
    let norm = keep_nan(T(total), T(sqrt(total)));
    let quotient = T(params.max_norm) / (norm + T(1e-6));
    grad_norm[0] = norm;
    grad_norm[1] = keep_nan(norm, keep_nan(quotient, min(quotient, T(1))));
}
