// The gradient passed to the winner of window i: grad_output.
//
// grad_output: [batch, out_h, out_w, channels], counted in E.
// Linked with: nothing. Header: E.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;

fn arriving(i: u32) -> E {
    return grad_output[i];
}
