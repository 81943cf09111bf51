// The terms of the squared error for reduce/reduce.wgsl: (input - target)^2. Source: torch.nn.MSELoss.
//
// input, targets: [count] in any layout, both the same.

@group(0) @binding(1) var<storage, read> input: array<T>;
@group(0) @binding(2) var<storage, read> targets: array<T>;

fn term(i: u32) -> ACC {
    let difference = ACC(input[i]) - ACC(targets[i]);
    return difference * difference;
}
