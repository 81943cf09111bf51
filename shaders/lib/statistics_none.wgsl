// No statistics of the result are wanted.

const STATISTICS: bool = false;

fn note(at: u32, value: EACC) {}
