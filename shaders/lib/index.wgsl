// The number of an invocation, or of a workgroup, in a dispatch that the host has folded to two dimensions because one
// holds at most 65,535 workgroups. WG is the workgroup size, all along x.

fn workgroup_number(workgroup: vec3u, groups: vec3u) -> u32 {
    return workgroup.y * groups.x + workgroup.x;
}

fn invocation_number(workgroup: vec3u, groups: vec3u, local: u32) -> u32 {
    return workgroup_number(workgroup, groups) * WG + local;
}
