// The entry point of kernels of which LANES invocations own a row together: one that has few numbers has one invocation, longer ones
// have more. Each takes every LANES-th number, so that neighbours read neighbours. Then half of them join what they have to
// what the other half has, and so on, in a fixed order.
//
// The kernel's own files define Part, what is known of some numbers of a row, and
//     part(row, lane)           the part of the numbers lane, lane + LANES, .. of a row
//     joined(a, b)              of two parts one
//     whole(row, lane, part)    what is done with that of the whole row, by every lane
//
// LANES and WG are powers of two. Workgroup memory: WG times the size of a Part; a barrier parts the writes of one round from the
// reads of the next, and the last one from what follows.
// Linked with: count/confusion.wgsl or loss/log_softmax_grad.wgsl or loss/nll_loss.wgsl, lib/workgroup.wgsl. Header: LANES, WG, params.

var<workgroup> parts: array<Part, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_number(workgroup, groups) * (WG / LANES) + local / LANES;
    let lane = local % LANES;
    let is_there = row < params.rows;
    if is_there {
        parts[local] = part(row, lane);
    }
    for (var count = LANES / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if lane < count {
            parts[local] = joined(parts[local], parts[local + count]);
        }
    }
    workgroupBarrier();
    if is_there {
        whole(row, lane, parts[local - lane]);
    }
}
