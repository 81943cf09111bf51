// Binding numbers: one for each name, so that no two bindings of a kernel share a number. The header declares params,
// which is 0. The declaration of each name describes its content. The host binds by name and reflects the numbers from
// the linked module. Part of every kernel of the library.

// Operands of one operation and its gradients.
const INPUT: u32 = 1;
const WEIGHT: u32 = 2;
const BIAS: u32 = 3;
const OUTPUT: u32 = 4;
const INDICES: u32 = 5;
const GRAD_OUTPUT: u32 = 6;
const GRAD_INPUT: u32 = 7;
const GRAD_WEIGHT: u32 = 8;
const GRAD_BIAS: u32 = 9;
const SAVED: u32 = 10;

// Products.
const A: u32 = 11;
const B: u32 = 12;
const PARTIALS: u32 = 13;
const ADDEND: u32 = 14;
const MASKING: u32 = 15;

// Winograd's convolution.
const SOURCE: u32 = 16;
const TRANSFORMED: u32 = 17;
const PATCHES: u32 = 18;
const SUMS: u32 = 19;
const RESULT: u32 = 20;

// Normalisation.
const STATISTICS: u32 = 21;
const RUNNING_MEAN: u32 = 22;
const RUNNING_VAR: u32 = 23;
const BATCHES: u32 = 24;

// Batches.
const DATA: u32 = 25;
const RANDOM: u32 = 26;
const DRAWS: u32 = 27;
const GRAY_MEANS: u32 = 28;
const MEANS: u32 = 29;
const LAMBDA: u32 = 30;
const OWN_LOSS: u32 = 31;
const OWN_TOTALS: u32 = 32;
const OTHER_LOSS: u32 = 33;
const OTHER_TOTALS: u32 = 34;
const GRAD_OWN: u32 = 35;
const GRAD_OTHER: u32 = 36;

// Losses and counts.
const LOGITS: u32 = 37;
const LOG_PROBS: u32 = 38;
const TARGETS: u32 = 39;
const CLASS_WEIGHTS: u32 = 40;
const ROW_RESULTS: u32 = 41;
const TOTALS: u32 = 42;
const LOSS: u32 = 43;
const GRAD_LOGITS: u32 = 44;
const GRAD_LOG_PROBS: u32 = 45;
const STATE: u32 = 46;

// Updates.
const HYPER: u32 = 47;
const SHARE: u32 = 48;
const PARAMETER: u32 = 49;
const GRAD: u32 = 50;
const MOMENTUM_BUFFER: u32 = 51;
const SUM: u32 = 52;
const PARTIAL: u32 = 53;
const GRAD_NORM: u32 = 54;
const UPDATES: u32 = 55;

// Joined rows.
const JOINED_PARTIALS: u32 = 56;
