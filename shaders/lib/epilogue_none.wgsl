// The result is stored as it is (lib/epilogue.wgsl says what else may happen).
// Linked with: nothing. Header: E.

fn epilogue(at: u32, value: E) -> E {
    return value;
}
