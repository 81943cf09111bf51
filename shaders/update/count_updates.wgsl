// updates = updates + (1, momentum is not 0): the number of updates of the parameters, including this one, and the
// number of them with momentum. It runs before the updates of all groups; update/applied.wgsl reads it.
//
// hyper: as in update/sgd.wgsl; updates: [2] = updates, updates with momentum.
// One invocation does all the work. No workgroup memory, no barrier.
// Linked with: nothing. Header: T.

@group(0) @binding(HYPER) var<storage, read> hyper: array<T>;
@group(0) @binding(UPDATES) var<storage, read_write> updates: array<T>;

@compute @workgroup_size(1)
fn main() {
    updates[0] += T(1);
    if hyper[1] != T(0) {
        updates[1] += T(1);
    }
}
