// relu, as elementwise/relu.wgsl has it: 0 where the value is not above 0, and NaN stays NaN, which is told by its bits.

fn finish_rectified(value: E) -> E {
    let stays = (bitcast<EU>(value) & EU(0x7fffffffu)) > EU(0x7f800000u);
    return select(select(value, E(0), value <= E(0)), value, stays);
}
