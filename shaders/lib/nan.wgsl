// y, but x where x is NaN: some devices' exp() makes a number of NaN. NaN is told by its bits, since compilers may take
// x != x for false. E is one element or a vector of four, and EU as many unsigned integers.

fn keep_nan(x: E, y: E) -> E {
    return select(y, x, (bitcast<EU>(x) & EU(0x7fffffffu)) > EU(0x7f800000u));
}
