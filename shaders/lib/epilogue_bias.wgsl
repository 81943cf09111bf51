// Epilogue: sum + bias[column], the column being the output channel or feature.

@group(0) @binding(8) var<storage, read> bias: array<T>;

fn epilogue(sum: ACC, column: u32) -> T {
    return T(sum + bias[column]);
}
