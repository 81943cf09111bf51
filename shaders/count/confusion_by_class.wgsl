// The counts of each class for count/confusion.wgsl, for so many classes that the matrix would not fit into a binding:
// state[4 + t] += 1 if target t is the predicted class p, state[4 + C + t] += 1, state[4 + 2 C + p] += 1.
//
// state: [4 + 3, classes].
// Linked with: nothing. Header: params.

@group(0) @binding(STATE) var<storage, read_write> state: array<atomic<u32>>;

fn classes_without_matrix() -> u32 {
    return params.classes;
}

fn count_pair(label: u32, predicted: u32) {
    if label == predicted {
        atomicAdd(&state[4u + label], 1u);
    }
    atomicAdd(&state[4u + params.classes + label], 1u);
    atomicAdd(&state[4u + 2u * params.classes + predicted], 1u);
}
