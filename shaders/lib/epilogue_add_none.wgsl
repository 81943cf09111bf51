// Nothing is added.

fn epilogue_added(at: u32, value: E) -> E {
    return value;
}
