// The gradient passed to the winner of window i if the pooling's input is the output of a relu, including the relu's
// gradient: grad_output if the winner's value, which is the pooling's output, is above 0 or NaN, else 0.
//
// grad_output, output: [batch, out_h, out_w, channels], counted in E.
// Linked with: nothing. Header: E.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(OUTPUT) var<storage, read> output: array<E>;

fn arriving(i: u32) -> E {
    return select(grad_output[i], E(0), output[i] <= E(0));
}
