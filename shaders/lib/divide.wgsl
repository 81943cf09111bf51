// a / b for a below 2^31 and b above 0, without integer division, which software devices execute one lane after another
// and many GPUs in dozens of instructions.
//
// A quotient in f32 is off by at most a few parts in 2^24. The remainder is divided once more, and the last step
// corrects a remaining rounding error of one. The result is exact.
// Linked with: nothing. Header: nothing.

fn divide(a: u32, b: u32) -> u32 {
    let inverse = 1.0 / f32(b);
    let rough = u32(f32(a) * inverse);
    let left = i32(a - rough * b);
    let correction = i32(f32(left) * inverse);
    let near = rough + u32(correction);
    let rest = left - correction * i32(b);
    return near + select(0u, 1u, rest >= i32(b)) - select(0u, 1u, rest < 0);
}
