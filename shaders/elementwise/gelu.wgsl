// gelu(x) = x P(x), where P is the cumulative distribution function of the normal distribution, (1 + erf(x / sqrt 2)) /
// 2, and its gradient dy (P(x) + x p(x)) by the input x, p(x) = exp(-x^2 / 2) / sqrt(2 pi). Source: torch.nn.GELU.
//
// WGSL has no erf. P(-|x|) exp(x^2 / 2) is a smooth function of t = 1 / (1 + 0.325 |x|). Here it is a polynomial,
// fitted to minimise the largest error times (1 + |x|) exp(-x^2 / 2): 2.4e-9. P(|x|) is 1 - P(-|x|), and beyond 14 they
// are 1 and 0. The error of gelu is therefore one or two ulp of the larger of itself and 1, and about 1e-7 below 0. As
// in PyTorch, gelu of minus infinity is NaN, and so is the gradient at either infinity. E is one element or a vector of
// four.
// Linked with: lib/nan.wgsl. Header: E.

struct Normal { density: E, below: E }

fn normal(x: E) -> Normal {
    let a = select(abs(x), E(14), abs(x) > E(14));
    let t = E(1) / (E(1) + E(0.325) * a);
    let low = (((((E(4.590534e-2) * t - E(2.3158669e-1)) * t + E(3.7027152e-1)) * t - E(1.2716589e-1)) * t
        + E(1.9901478e-1)) * t + E(1.1239876e-1)) * t + E(1.3116219e-1);
    let e = exp(E(-0.5) * a * a);
    let tail = low * t * e;
    return Normal(E(0.39894228) * e, select(tail, E(1) - tail, x > E(0)));
}

fn forward(x: E) -> E {
    return nan_below(x, x * normal(x).below);
}

fn backward(x: E, dy: E) -> E {
    let n = normal(x);
    return dy * finite_or_nan(x, n.below + x * n.density);
}
