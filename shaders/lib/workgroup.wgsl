// The index of a workgroup in a dispatch that the host has folded to two dimensions, because one holds at most 65,535
// workgroups.
// Linked with: nothing. Header: nothing.

fn workgroup_number(workgroup: vec3u, groups: vec3u) -> u32 {
    return workgroup.y * groups.x + workgroup.x;
}
