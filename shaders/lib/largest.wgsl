// The largest of the numbers of a row and its place, the first of equals. NaN is no largest unless it is the first of all.
// Linked with: lib/nan.wgsl. Header: T.

struct Largest { x: T, at: u32 }

// Before anything has been looked at.
fn none_yet() -> Largest {
    return Largest(minus_infinity(), 0xffffffffu);
}

fn larger(a: Largest, b: Largest) -> Largest {
    if is_nan(a.x) || is_nan(b.x) {
        // Only the first of all is taken where it is NaN.
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
