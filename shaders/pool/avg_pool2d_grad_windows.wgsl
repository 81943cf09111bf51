// The gradient of avg_pool2d if windows lie side by side (stride = kernel, no padding): every input element is in at
// most one window, so grad_input over a window is grad_output / divisor, and 0 beyond the last windows.
// The formula is that of pool/avg_pool2d_grad.wgsl.
//
// grad_output: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels], channels counted in E.
// One invocation owns one window of one E of channels; the last ones of a row or column also own the elements beyond
// them.
// No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, pool/avg_pool2d_window.wgsl, pool/window.wgsl. Header: E, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    let rows = side(window.oh * params.kernel_h, params.kernel_h, 0, params.in_h);
    let columns = side(window.ow * params.kernel_w, params.kernel_w, 0, params.in_w);
    let last_h = select(rows.high, params.in_h, window.oh + 1 == params.out_h);
    let last_w = select(columns.high, params.in_w, window.ow + 1 == params.out_w);
    let value = grad_output[i] / divisor(rows, columns);

    for (var h = rows.low; h < last_h; h++) {
        for (var w = columns.low; w < last_w; w++) {
            let inside = h < rows.high && w < columns.high;
            let at = (window.image + h * params.in_w + w) * params.channels + window.channel;
            grad_input[at] = epilogue(at, select(E(0), value, inside));
        }
    }
}
