// No mask.

fn masked(at: u32, value: E) -> E {
    return value;
}
