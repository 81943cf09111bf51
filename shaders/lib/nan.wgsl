// NaN and infinities, detected by their bits, since compilers may assume that x != x is false and that x > y is the
// opposite of x <= y, and some devices' exp() turns NaN into a number. E is one element or a vector of four, EU as many
// unsigned integers, EBOOL as many booleans.
// Linked with: nothing. Header: E, EBOOL, EU, T.

fn is_nan(x: E) -> EBOOL {
    return (bitcast<EU>(x) & EU(0x7fffffffu)) > EU(0x7f800000u);
}

// y, but x where x is NaN.
fn keep_nan(x: E, y: E) -> E {
    return select(y, x, is_nan(x));
}

fn nan() -> E {
    // A variable, because a constant NaN is rejected.
    var bits = EU(0x7fc00000u);
    return bitcast<E>(bits);
}

fn minus_infinity() -> E {
    var bits = EU(0xff800000u);
    return bitcast<E>(bits);
}

// y, but NaN where x is NaN or minus infinity.
fn nan_below(x: E, y: E) -> E {
    return keep_nan(x, select(y, nan(), bitcast<EU>(x) == EU(0xff800000u)));
}

// y, but NaN where x is NaN or infinite.
fn finite_or_nan(x: E, y: E) -> E {
    return select(y, nan(), (bitcast<EU>(x) & EU(0x7fffffffu)) >= EU(0x7f800000u));
}

// exp(x), but x where it is NaN; for one number, whatever E is.
fn exp_or_nan(x: T) -> T {
    return select(exp(x), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
