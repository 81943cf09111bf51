// Nothing is added.

fn finish_added(at: u32, value: E) -> E {
    return value;
}
