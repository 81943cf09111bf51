// What reaches the winner of window i: grad_output.
//
// grad_output: [batch, out_h, out_w, channels].

@group(0) @binding(1) var<storage, read> grad_output: array<T>;

fn arriving(i: u32) -> T {
    return grad_output[i];
}
