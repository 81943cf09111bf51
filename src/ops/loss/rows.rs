//! Rows of logits, each owned by as many invocations as its classes are worth (lib/row.wgsl, lib/softmax.wgsl).

use crate::kernel::{Extent, Kernel, Source, source};

/// Classes that an invocation takes in each pass over a row, where they are not too many.
const CLASSES: u32 = 16;

/// How many invocations own a row of so many classes. It depends on nothing else, and the order of sums follows from it.
pub(crate) fn lanes(classes: u32) -> u32 {
    classes.div_ceil(CLASSES).next_power_of_two().min(256)
}

/// What one of them does in `passes` passes over a row and `trees` sums of what the lanes have found.
pub(crate) fn elements(classes: u32, passes: u32, trees: u32) -> u32 {
    passes * classes.div_ceil(lanes(classes)) + trees * lanes(classes).ilog2()
}

/// A kernel of these files and an entry point of rows, and how much it runs.
pub(crate) fn of_rows(name: &'static str, files: &[Source], rows: u32, classes: u32) -> (Kernel, Extent) {
    let lanes = lanes(classes);
    let workgroup = lanes.max(64);
    let shared = [source!("lib/largest.wgsl"), source!("lib/nan.wgsl"), source!("lib/workgroup.wgsl")];
    let kernel = Kernel::new(name, files).with(&shared).constant("WG", workgroup).constant("LANES", lanes).elements(1);
    (kernel, Extent::Workgroups(rows.div_ceil(workgroup / lanes).into()))
}
