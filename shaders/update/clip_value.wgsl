// clipped(g) = g clamped to -clip_value .. clip_value; NaN stays. For update/sgd.wgsl.
// Source: torch.nn.utils.clip_grad_value_.
// Linked with: lib/nan.wgsl. Header: E, params.

fn clipped(g: E) -> E {
    return keep_nan(g, clamp(g, E(-params.clip_value), E(params.clip_value)));
}
