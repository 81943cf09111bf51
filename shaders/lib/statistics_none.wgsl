// No statistics of the result are wanted.
// Linked with: lib/product_subgroup8.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: EACC.

const HAS_STATISTICS: bool = false;

fn note(at: u32, value: EACC) {}
