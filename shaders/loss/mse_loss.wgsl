// The terms of the squared error for reduce/reduce.wgsl: (input - target)^2. Source: torch.nn.MSELoss.
//
// input, targets: [rows] of E in any layout, both the same.
// Linked with: nothing. Header: E, EACC.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<E>;

fn term(i: u32) -> EACC {
    let difference = EACC(input[i]) - EACC(targets[i]);
    return difference * difference;
}
