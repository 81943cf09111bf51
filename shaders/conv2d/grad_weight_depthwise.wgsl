// The gradient by the weight of a conv2d in which every channel is a separate group; the formula is that of
// conv2d/grad_weight_direct.wgsl. There are few weights and many pixels. The k = batch out_h out_w pixels are therefore
// cut into chunks of k_chunk, whose sums reduce/reduce.wgsl adds if there are several.
//
// Bindings are those of conv2d/direct.wgsl, but with E of the header, one channel or four, in place of an element;
// in_c, out_c and n count E, grad_weight is [chunks, kernel_h, kernel_w, n], and m is kernel_h kernel_w.
// One invocation owns one chunk of one E of grad_weight. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<E>;

fn count() -> u32 {
    return divide(params.k + params.k_chunk - 1, params.k_chunk) * params.m * params.n;
}

fn each(i: u32) {
    let chunk = divide(i, params.m * params.n);
    let first = chunk * params.k_chunk;
    let last = min(first + params.k_chunk, params.k);
    let of_chunk = i - chunk * params.m * params.n;
    let tap = divide(of_chunk, params.n);
    let channel = of_chunk - tap * params.n;
    let kh = divide(tap, params.kernel_w);
    let kw = tap - kh * params.kernel_w;
    let from_h = kh * params.dilation_h - params.pad_top;
    let from_w = kw * params.dilation_w - params.pad_left;

    let line = divide(first, params.out_w);
    var ow = first - line * params.out_w;
    var image = divide(line, params.out_h);
    var oh = line - image * params.out_h;
    var sum = E(0);
    for (var pixel = first; pixel < last; pixel++) {
        // Rows above the input wrap around to large numbers, so one comparison checks both sides.
        let h = oh * params.stride_h + from_h;
        let w = ow * params.stride_w + from_w;
        if h < params.in_h && w < params.in_w {
            let at = ((image * params.in_h + h) * params.in_w + w) * params.n + channel;
            sum += input[at] * grad_output[pixel * params.n + channel];
        }
        ow++;
        if ow == params.out_w {
            ow = 0u;
            oh++;
            if oh == params.out_h {
                oh = 0u;
                image++;
            }
        }
    }
    grad_weight[i] = sum;
}
