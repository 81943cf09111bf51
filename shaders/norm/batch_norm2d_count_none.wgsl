// In evaluation no batch is counted.

fn count_batch(i: u32) {}
