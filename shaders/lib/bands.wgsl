// The entry point of kernels that join the rows of matrices column by column: into fewer rows, or into one. A workgroup owns
// BAND columns side by side and a run of rows. LANES invocations share a column. Each takes every LANES-th row of the run, so
// that neighbours read neighbours. Then half of them join what they have to what the other half has, and so on until one has all of
// it. The order is fixed by the extents.
//
// The kernel's own files define Part, what is known of some rows of one column of E, and
//     runs()                     how many runs there are, those of all matrices
//     part(run, lane, column)    the part of the rows of one invocation
//     joined(a, b)               of two parts one
//     whole(run, column, part)   what is done with that of a whole run
//
// BAND and WG are powers of two. Workgroup memory: WG times the size of a Part; a barrier parts the writes of one round from the
// reads of the next.
// Linked with: lib/divide.wgsl, lib/workgroup.wgsl, norm/batch_norm2d_grad_joined.wgsl or norm/batch_norm2d_moments.wgsl or reduce/reduce.wgsl, norm/batch_norm2d_grad_merge.wgsl or norm/batch_norm2d_grad_sums.wgsl or norm/batch_norm2d_moments.wgsl or reduce/reduce.wgsl, a file with whole. Header: BAND, WG, params.

const LANES: u32 = WG / BAND;

var<workgroup> parts: array<Part, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup_number(workgroup, groups);
    let bands = (params.columns + BAND - 1) / BAND;
    let run = divide(number, bands);
    let column = (number - run * bands) * BAND + local % BAND;
    let lane = local / BAND;
    let is_there = run < runs() && column < params.columns;
    if is_there {
        parts[local] = part(run, lane, column);
    }
    for (var count = LANES / 2; count > 0; count /= 2u) {
        workgroupBarrier();
        if lane < count {
            parts[local] = joined(parts[local], parts[local + count * BAND]);
        }
    }
    if lane == 0 && is_there {
        whole(run, column, parts[local]);
    }
}
