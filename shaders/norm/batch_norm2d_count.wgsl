// Counts the batch, after the kernel that may need the number has read it.
//
// batches: [1].
// Linked with: nothing. Header: nothing.

@group(0) @binding(BATCHES) var<storage, read_write> batches: array<i32>;

fn count_batch(i: u32) {
    if i == 0 {
        batches[0] += 1;
    }
}
