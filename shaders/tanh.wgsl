// tanh(x), and its gradient dy (1 - y^2). Source: torch.nn.Tanh.
// WGSL's own tanh may be (exp(x) - exp(-x)) / (exp(x) + exp(-x)), which loses all digits near 0 and overflows far from
// it. Below 0.625 this is the odd polynomial of the Cephes library (tanhf.c, relative error 1.3e-7), above it
// 1 - 2 / (exp(2|x|) + 1), whose exponent is held where the result has long been 1.

fn forward(x: T) -> T {
    let a = abs(x);
    if a < 0.625 {
        let z = x * x;
        let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z
            - 3.33332819422e-1;
        return x + x * z * p;
    }
    // NaN fails the comparison above and must come out again; min(NaN, 20) may be 20.
    let t = T(1) - T(2) / (exp(T(2) * select(a, T(20), a > T(20))) + T(1));
    return select(t, -t, x < T(0));
}

fn backward(y: T, dy: T) -> T {
    return dy * (T(1) - y * y);
}
