// In evaluation no batch is counted.
// Linked with: nothing. Header: nothing.

fn count_batch(i: u32) {}
