// gelu(x) = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), and its gradient by the input x. Source:
// torch.nn.GELU with approximate='tanh'.
//
// (1 + tanh(u)) / 2 = s(2 u), where s is the logistic function, so the gradient is dy (s + x s (1 - s) 2 u'). Only
// exp(-2 |u|) is computed, and x is clamped at 20, where s has long saturated, so no infinity arises. As in PyTorch,
// gelu of minus infinity is NaN, and so is the gradient at either infinity. E is one element or a vector of four.
// Linked with: lib/nan.wgsl. Header: E.

struct Logistic { e: E, s: E, slope: E }

fn logistic(x: E) -> Logistic {
    let a = select(abs(x), E(20), abs(x) > E(20));
    let e = exp(E(-1.5957691) * (a + E(0.044715) * a * a * a));
    let s = select(e, E(1), x >= E(0)) / (E(1) + e);
    return Logistic(e, s, E(1.5957691) * (E(1) + E(0.134145) * a * a));
}

fn forward(x: E) -> E {
    return nan_below(x, x * logistic(x).s);
}

fn backward(x: E, dy: E) -> E {
    let l = logistic(x);
    let spread = l.e / ((E(1) + l.e) * (E(1) + l.e));
    return dy * finite_or_nan(x, l.s + x * spread * l.slope);
}
