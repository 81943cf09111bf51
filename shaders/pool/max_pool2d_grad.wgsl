// The gradient of max_pool2d: grad_input[n, h, w, c] = the sum of grad_output over the windows that h, w has won,
// searched among the windows that contain it, in a fixed order. Overlapping windows add up. Source: torch.nn.MaxPool2d.
//
// grad_output (pool/max_pool2d_grad_arriving.wgsl), indices: [batch, out_h, out_w, channels]; grad_input: [batch, in_h,
// in_w, channels], channels counted in E.
// One invocation owns one E of grad_input, channels fastest: as many channels as their number allows, up to four. No workgroup
// memory, no barrier.
// Linked with: lib/each.wgsl, pool/max_pool2d_grad_arriving.wgsl or pool/max_pool2d_grad_arriving_relu.wgsl, pool/place.wgsl. Header: E, EACC, EU, params.

@group(0) @binding(INDICES) var<storage, read> indices: array<EU>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let place = place_of(i);
    let here = EU(place.h * params.in_w + place.w);
    // A dilated window between these may have no tap here, and is then not won here.
    let rows = windows_over(place.h + params.pad_h, (params.kernel_h - 1) * params.dilation_h, params.stride_h, params.out_h);
    let columns = windows_over(place.w + params.pad_w, (params.kernel_w - 1) * params.dilation_w, params.stride_w, params.out_w);
    var sum = EACC(0);
    for (var oh = rows.first; oh < rows.end; oh++) {
        let line = (place.image * params.out_h + oh) * params.out_w;
        for (var ow = columns.first; ow < columns.end; ow++) {
            let at = (line + ow) * params.channels + place.channel;
            sum += select(EACC(0), EACC(arriving(at)), indices[at] == here);
        }
    }
    grad_input[i] = E(sum);
}
