// What an update knows of those before it.
//
// updates: [2] = updates, updates with momentum, this one included, as update/count_updates.wgsl has counted them.
// Linked with: nothing. Header: T.

@group(0) @binding(UPDATES) var<storage, read> updates: array<T>;

// Whether no update before this one had momentum, so that the momentum buffers hold nothing yet.
fn is_first() -> bool {
    return updates[1] == T(1);
}
