// Philox 4x32-10: four random words for a counter under a key, the same that src/rng.rs draws.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//
// WGSL has no 64-bit product, so the upper word is computed from products of 16-bit halves.
// Linked with: nothing. Header: nothing.

// The upper 32 bits of a b.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16;
    let b_low = b & 0xffffu;
    let b_high = b >> 16;
    let inner = a_low * b_high;
    let outer = a_high * b_low;
    // Below 3 * 2^16: the carry from the lower words into the upper one.
    let carry = ((a_low * b_low) >> 16) + (inner & 0xffffu) + (outer & 0xffffu);
    return a_high * b_high + (inner >> 16) + (outer >> 16) + (carry >> 16);
}

fn philox(counter: vec4u, key: vec2u) -> vec4u {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        c = vec4u(
            multiply_high(0xcd9e8d57u, c.z) ^ c.y ^ k.x,
            0xcd9e8d57u * c.z,
            multiply_high(0xd2511f53u, c.x) ^ c.w ^ k.y,
            0xd2511f53u * c.x,
        );
        k += vec2u(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// An integer in 0 .. bound - 1; all are equally likely to within 2^-32.
fn below(word: u32, bound: u32) -> u32 {
    return multiply_high(word, bound);
}
