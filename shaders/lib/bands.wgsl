// The entry point of kernels that join the rows of matrices column by column, into fewer rows or into one. A workgroup
// owns BAND adjacent columns and a run of rows. LANES invocations share a column. Each takes every LANES-th row of the
// run, so that neighbours read neighbours. Then half of the lanes join the other half's parts to theirs, and so on
// until one lane has the whole. The extents determine the order.
//
// The kernel's own files define Part, the summary of some rows of one column of E, and
//     runs()                     number of runs, over all matrices
//     part(run, lane, column)    the part of one invocation's rows
//     joined(a, b)               joins two parts
//     whole(run, column, part)   handles the part of a whole run
//
// BAND and WG are powers of two. Workgroup memory: WG times the size of a Part. A barrier separates the writes of one
// round from the reads of the next.
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
