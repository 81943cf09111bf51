// No mask.

fn epilogue_masked(at: u32, value: E) -> E {
    return value;
}
