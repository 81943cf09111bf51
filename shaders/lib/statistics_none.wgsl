// No statistics of the result.
// Linked with: nothing. Header: EACC.

const HAS_STATISTICS: bool = false;

fn note(at: u32, value: EACC) {}
