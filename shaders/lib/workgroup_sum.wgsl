// The entry point of kernels in which each workgroup computes a sum. Every invocation computes its part,
// part(workgroup, local). Then half of them add the other half's parts to theirs, and so on. Then whole(workgroup,
// local) continues, which may read the sum with sum_of_parts(). The kernel's own file defines both, and Sum, the type
// of a part. All sums have a fixed order.
//
// Workgroup memory: WG times the size of a Sum. WG is a power of two. A barrier separates the writes of one round from
// the reads of the next, and the last round from the code after it.
// Linked with: batch/transform_gray.wgsl or loss/softmax_cross_entropy_totals.wgsl or update/clip_grad_norm.wgsl or update/clip_grad_norm_total.wgsl, lib/workgroup.wgsl. Header: WG.

var<workgroup> parts: array<Sum, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup_number(workgroup, groups);
    parts[local] = part(number, local);
    for (var count = WG / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if local < count {
            parts[local] += parts[local + count];
        }
    }
    workgroupBarrier();
    whole(number, local);
}

fn sum_of_parts() -> Sum {
    return parts[0];
}
