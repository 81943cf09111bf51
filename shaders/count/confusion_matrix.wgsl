// The confusion matrix of count/confusion.wgsl: state[4 + t C + p] += 1 for target t and predicted class p.
//
// state: [4 + classes, classes].
// Linked with: nothing. Header: params.

@group(0) @binding(STATE) var<storage, read_write> state: array<atomic<u32>>;

fn classes_without_matrix() -> u32 {
    return 0u;
}

fn count_pair(label: u32, predicted: u32) {
    atomicAdd(&state[4u + label * params.classes + predicted], 1u);
}
