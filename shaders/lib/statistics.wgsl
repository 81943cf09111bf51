// Stores the statistics of a product's result for the batch norm after it: mean and sum of squared deviations of every
// chunk of 32 rows (lib/moments.wgsl), by column. `at` counts elements.
//
// partials: [chunks, 2, n].
// Linked with: nothing. Header: E, EACC, E_LEN.

const HAS_STATISTICS: bool = true;

@group(0) @binding(PARTIALS) var<storage, read_write> partials: array<E>;

fn note(at: u32, value: EACC) {
    partials[at / E_LEN] = E(value);
}
