// The largest number of a row and its index, the first of equal ones. NaN counts as the largest only if it comes first.
// Linked with: lib/nan.wgsl. Header: T.

struct Largest { x: T, at: u32 }

// The initial value, before any number.
fn none_yet() -> Largest {
    return Largest(minus_infinity(), 0xffffffffu);
}

fn larger(a: Largest, b: Largest) -> Largest {
    if is_nan(a.x) || is_nan(b.x) {
        // Only the first number is taken if it is NaN.
        if is_nan(b.x) && b.at == 0 {
            return b;
        }
        return a;
    }
    if b.x > a.x || (b.x == a.x && b.at < a.at) {
        return b;
    }
    return a;
}
