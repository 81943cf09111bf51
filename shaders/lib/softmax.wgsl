// The entry point of kernels in which LANES invocations own a row of logits together (as in lib/row.wgsl): first they
// find the largest, then they add up values that depend on it.
//
// The kernel's own files define logit(row, c), Sums, sums_of(row, lane, largest), the sums over the classes lane, lane
// + LANES, .. of a row, and whole(row, lane, largest, sums), which handles the sums over all classes, in every lane.
//
// LANES and WG are powers of two. Workgroup memory: WG times the size of a Largest and of Sums. A barrier separates the
// writes of one round from the reads of the next, and the last round of each from the code after it.
// Linked with: lib/largest.wgsl, lib/softmax_largest.wgsl, lib/workgroup.wgsl, loss/log_softmax.wgsl or loss/softmax_cross_entropy.wgsl, loss/log_softmax.wgsl or loss/softmax_cross_entropy_sums.wgsl. Header: LANES, WG, params.

var<workgroup> largests: array<Largest, WG>;
var<workgroup> parts: array<Sums, WG>;

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
        largests[local] = largest_of(row, lane);
    }
    for (var count = LANES / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if lane < count {
            largests[local] = larger(largests[local], largests[local + count]);
        }
    }
    workgroupBarrier();
    let largest = largests[local - lane];
    if is_there {
        parts[local] = sums_of(row, lane, largest.x);
    }
    for (var count = LANES / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if lane < count {
            parts[local] += parts[local + count];
        }
    }
    workgroupBarrier();
    if is_there {
        whole(row, lane, largest, parts[local - lane]);
    }
}
