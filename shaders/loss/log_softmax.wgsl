// log_softmax over classes: output[c] = x[c] - max x - ln(sum exp(x - max x)). Source: torch.nn.LogSoftmax, dim 1.
//
// input, output: [rows, classes]; a row is a sample, or a pixel of one.
// Workgroups, invocations, workgroup memory and barriers: lib/softmax.wgsl; the sums are one number.
// Linked with: lib/largest.wgsl, lib/nan.wgsl, lib/softmax.wgsl. Header: ACC, LANES, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

alias Sums = ACC;

fn logit(row: u32, class_index: u32) -> T {
    return input[row * params.classes + class_index];
}

fn sums_of(row: u32, lane: u32, largest: T) -> Sums {
    var sum = ACC(0);
    for (var c = lane; c < params.classes; c += LANES) {
        let below = logit(row, c) - largest;
        sum += keep_nan(below, exp(below));
    }
    return sum;
}

fn whole(row: u32, lane: u32, largest: Largest, sum: Sums) {
    let log_sum = keep_nan(sum, log(sum));
    for (var c = lane; c < params.classes; c += LANES) {
        output[row * params.classes + c] = T(logit(row, c) - largest.x - log_sum);
    }
}
