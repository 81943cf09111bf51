// The entry point of kernels whose invocations share nothing: each(i) for every i below count(); the kernel's own file
// defines both.
//
// The host folds a dispatch to two dimensions, because one holds at most 65,535 workgroups, so the last invocations may
// be idle. WG is the workgroup size, all along x.
// Linked with: a file with each, a file with count. Header: WG.

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (workgroup.y * groups.x + workgroup.x) * WG + local;
    if i < count() {
        each(i);
    }
}
