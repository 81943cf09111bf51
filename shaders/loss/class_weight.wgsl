// Class weights of the cross-entropy: class_weights [classes].
// Linked with: nothing. Header: T.

@group(0) @binding(CLASS_WEIGHTS) var<storage, read> class_weights: array<T>;

fn weight_of(class_index: u32) -> T {
    return class_weights[class_index];
}
