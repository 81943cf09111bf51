// The entry point of kernels in which LANES invocations own a row together: a short row has one invocation, longer ones
// have more. Each takes every LANES-th number, so that neighbours read neighbours. Then half of the lanes join the
// other half's parts to theirs, and so on, in a fixed order.
//
// The kernel's own files define Part, the summary of some numbers of a row, and
//     part(row, lane)           the part of the numbers lane, lane + LANES, .. of a row
//     joined(a, b)              joins two parts
//     whole(row, lane, part)    handles the part of the whole row, in every lane
//
// LANES and WG are powers of two. Workgroup memory: WG times the size of a Part. A barrier separates the writes of one
// round from the reads of the next, and the last round from the code after it.
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
