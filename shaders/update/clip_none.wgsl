// clipped(g) = g: gradients are used as they are. For update/sgd.wgsl.

fn clipped(g: E) -> E {
    return g;
}
