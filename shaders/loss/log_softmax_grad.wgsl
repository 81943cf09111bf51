// The gradient of log_softmax: grad_input[c] = grad_output[c] - exp(output[c]) times the sum of the row's grad_output.
// Source: torch.nn.LogSoftmax, dim 1.
//
// output, grad_output, grad_input: [rows, classes].
// Workgroups, invocations, workgroup memory and barriers: lib/row.wgsl; a Part is a sum.
// Linked with: lib/nan.wgsl, lib/row.wgsl. Header: ACC, LANES, T, params.

@group(0) @binding(OUTPUT) var<storage, read> output: array<T>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

alias Part = ACC;

fn part(row: u32, lane: u32) -> Part {
    var sum = ACC(0);
    for (var c = lane; c < params.classes; c += LANES) {
        sum += grad_output[row * params.classes + c];
    }
    return sum;
}

fn joined(a: Part, b: Part) -> Part {
    return a + b;
}

fn whole(row: u32, lane: u32, sum: Part) {
    for (var c = lane; c < params.classes; c += LANES) {
        let at = row * params.classes + c;
        grad_input[at] = T(grad_output[at] - keep_nan(output[at], exp(output[at])) * sum);
    }
}
