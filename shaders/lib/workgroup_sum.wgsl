// The entry point of kernels whose workgroups each add something up: every invocation its part, part(workgroup, local), and
// when all parts are there whole(workgroup, local) goes on, which may add them up with sum_of_parts(). The kernel's own file
// defines both, and Sum, the type of a part. All sums have a fixed order.
//
// Workgroup memory: WG times the size of a Sum. One barrier, so that all parts are there before they are read.
// Linked with: a file with Sum and part and whole, lib/workgroup.wgsl. Header: WG.

var<workgroup> parts: array<Sum, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup_number(workgroup, groups);
    parts[local] = part(number, local);
    workgroupBarrier();
    whole(number, local);
}

fn sum_of_parts() -> Sum {
    var sum = Sum();
    for (var i = 0u; i < WG; i++) {
        sum += parts[i];
    }
    return sum;
}
