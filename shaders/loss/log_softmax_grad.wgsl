// The gradient of log_softmax: grad_input[c] = grad_output[c] - exp(output[c]) times the sum of the row's grad_output.
// Source: torch.nn.LogSoftmax, dim 1.
//
// output, grad_output, grad_input: [rows, classes].
// One invocation owns one row. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl. Header: ACC, T, params.

@group(0) @binding(OUTPUT) var<storage, read> output: array<T>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

fn count() -> u32 {
    return params.rows;
}

fn each(i: u32) {
    let first = i * params.classes;
    var sum = ACC(0);
    for (var c = 0u; c < params.classes; c++) {
        sum += grad_output[first + c];
    }
    for (var c = first; c < first + params.classes; c++) {
        grad_input[c] = T(grad_output[c] - keep_nan(output[c], exp(output[c])) * sum);
    }
}
