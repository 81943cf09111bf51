// tanh(x), and its gradient dy (1 - y^2). Source: torch.nn.Tanh. E is one element or a vector of four.
// WGSL's own tanh may be (exp(x) - exp(-x)) / (exp(x) + exp(-x)), which loses all digits near 0 and overflows far from
// it. Below 0.625 this is the odd polynomial of the Cephes library (tanhf.c, relative error 1.3e-7); above it is 1 - 2
// / (exp(2|x|) + 1), whose exponent is clamped where the result has long been 1.
// Linked with: lib/nan.wgsl. Header: E.

fn forward(x: E) -> E {
    let a = abs(x);
    let z = x * x;
    let p = (((E(-5.70498872745e-3) * z + E(2.06390887954e-2)) * z - E(5.37397155531e-2)) * z + E(1.33314422036e-1)) * z
        - E(3.33332819422e-1);
    let t = E(1) - E(2) / (exp(E(2) * select(a, E(20), a > E(20))) + E(1));
    return keep_nan(x, select(select(t, -t, x < E(0)), x + x * z * p, a < E(0.625)));
}

fn backward(y: E, dy: E) -> E {
    return dy * (E(1) - y * y);
}
