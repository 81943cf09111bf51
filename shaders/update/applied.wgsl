// is_first() = (updates with momentum == 1): true if no earlier update had momentum.
//
// updates: [2] = updates, updates with momentum, including this one, as counted by update/count_updates.wgsl.
// Linked with: nothing. Header: T.

@group(0) @binding(UPDATES) var<storage, read> updates: array<T>;

// True if the momentum buffers are still empty.
fn is_first() -> bool {
    return updates[1] == T(1);
}
