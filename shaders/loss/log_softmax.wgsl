// log_softmax over classes: output[c] = x[c] - max x - ln(sum exp(x - max x)). Source: torch.nn.LogSoftmax, dim 1.
//
// input, output: [rows, classes]; a row is a sample, or a pixel of one.
// One invocation owns one row. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl. Header: ACC, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.rows;
}

fn each(i: u32) {
    let first = i * params.classes;
    var largest = input[first];
    for (var c = 1u; c < params.classes; c++) {
        largest = select(largest, input[first + c], input[first + c] > largest);
    }
    var sum = ACC(0);
    for (var c = 0u; c < params.classes; c++) {
        let x = input[first + c] - largest;
        sum += keep_nan(x, exp(x));
    }
    let log_sum = keep_nan(sum, log(sum));
    for (var c = 0u; c < params.classes; c++) {
        output[first + c] = T(input[first + c] - largest - log_sum);
    }
}
