// Nothing is added.

fn added(at: u32, value: E) -> E {
    return value;
}
