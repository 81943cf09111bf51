// Epilogue: the sum is stored as it is.

fn epilogue(sum: EACC, column: u32) -> E {
    return E(sum);
}
