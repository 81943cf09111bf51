// One SGD step of a parameter group, in place. For each parameter p with gradient grad and momentum buffer b:
//     g = clipped(grad)                                         (update/clip_none, clip_value or clip_norm)
//     g = maximize ? -g : g
//     g = g + weight_decay p + l1 sign(p)                       (update/decay)
//     b = first ? g : momentum b + (1 - dampening) g            (only if momentum is not 0; update/applied)
//     g = nesterov ? g + momentum b : b                         (likewise)
//     p = p - lr g
// Source: torch.optim.SGD; the L1 penalty is not PyTorch's.
//
// hyper: [2] = lr, momentum; written before each step.
// grad, parameter, momentum_buffer: [len] of four, the same piece of the group's flat buffers; a tensor's padding stays
// 0.
// One invocation owns four parameters; tensors are padded to 64. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, update/applied.wgsl, update/clip_none.wgsl or update/clip_norm.wgsl or update/clip_value.wgsl, update/decay.wgsl. Header: T, params.

@group(0) @binding(HYPER) var<storage, read> hyper: array<T>;
@group(0) @binding(GRAD) var<storage, read> grad: array<vec4<T>>;
@group(0) @binding(PARAMETER) var<storage, read_write> parameter: array<vec4<T>>;
@group(0) @binding(MOMENTUM_BUFFER) var<storage, read_write> momentum_buffer: array<vec4<T>>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    let p = parameter[i];
    let momentum = hyper[1];
    var g = clipped(grad[i]);
    g = select(g, -g, params.maximize != 0u);
    g = decayed(g, p);
    if momentum != T(0) {
        var b = g;
        if !is_first() {
            b = momentum * momentum_buffer[i] + params.keep * g;
        }
        momentum_buffer[i] = b;
        g = select(b, g + momentum * b, params.nesterov != 0u);
    }
    parameter[i] = p - hyper[0] * g;
}
