// No statistics of the result are wanted.

const HAS_STATISTICS: bool = false;

fn note(at: u32, value: EACC) {}
