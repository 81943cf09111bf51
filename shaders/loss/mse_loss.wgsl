// The terms of the squared error for reduce/reduce.wgsl: (input - target)^2. Source: torch.nn.MSELoss.
//
// input, targets: [count] in any layout, both the same.
// Linked with: nothing. Header: ACC, T.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<T>;

fn term(i: u32) -> ACC {
    let difference = ACC(input[i]) - ACC(targets[i]);
    return difference * difference;
}
