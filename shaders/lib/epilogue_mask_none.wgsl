// No mask.

fn finish_masked(at: u32, value: E) -> E {
    return value;
}
