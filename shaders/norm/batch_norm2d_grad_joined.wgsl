// The part of some rows of a column for batch_norm2d's gradients, for lib/bands.wgsl: two sums.
// Linked with: lib/bands.wgsl. Header: E.

// products: the sum of grad_output times the normalised input; sum: the sum of grad_output.
struct Part { products: E, sum: E }

fn joined(a: Part, b: Part) -> Part {
    return Part(a.products + b.products, a.sum + b.sum);
}
