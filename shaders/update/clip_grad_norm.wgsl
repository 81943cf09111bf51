// partial[first + w] = sum of grad^2 over the part of this piece that workgroup w owns, for the norm of all gradients.
// Source: torch.nn.utils.clip_grad_norm_ with norm_type 2.
//
// grad: [len] of four, one piece of a group's flat gradient buffer; a tensor's padding is 0 and adds nothing.
// partial: one number for each workgroup of every piece of every group; those of this piece start at `first`.
// Invocation i of all adds up the elements i, i + workgroups WG, .. in a fixed order. Workgroup memory and barriers:
// lib/workgroup_sum.wgsl, 4 WG bytes.
// Linked with: lib/workgroup_sum.wgsl. Header: ACC, T, WG, params.

@group(0) @binding(GRAD) var<storage, read> grad: array<vec4<T>>;
@group(0) @binding(PARTIAL) var<storage, read_write> partial: array<T>;

alias Sum = ACC;

fn part(number: u32, local: u32) -> Sum {
    var sum = vec4<ACC>();
    for (var i = number * WG + local; i < params.len; i += params.workgroups * WG) {
        let g = vec4<ACC>(grad[i]);
        sum += g * g;
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

fn whole(number: u32, local: u32) {
    if local == 0u && number < params.workgroups {
        partial[params.first + number] = T(sum_of_parts());
    }
}
