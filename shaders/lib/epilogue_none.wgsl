// The result is stored as it is (lib/epilogue.wgsl says what else may happen).

fn epilogue(at: u32, value: E) -> E {
    return value;
}
