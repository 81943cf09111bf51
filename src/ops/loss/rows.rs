//! Rows of logits, each owned by as many invocations as its classes are worth (lib/row.wgsl, lib/softmax.wgsl).

use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, Kernel, Params, Source, source};

/// Classes that an invocation takes in each pass over a row, where they are not too many.
const CLASSES: u32 = 16;

/// Invocations that a software device runs at once: a workgroup of no more never waits at a barrier.
const EIGHT: u32 = 8;

/// Invocations of the workgroup that adds up what there is of all rows.
pub(crate) fn totals_workgroup(caps: &Caps) -> u32 {
    if caps.class == DeviceClass::Software { EIGHT } else { 256 }
}

/// How many invocations own a row of so many classes: on a software device no more than run at once. The order of sums follows
/// from it.
pub(crate) fn lanes(caps: &Caps, classes: u32) -> u32 {
    let most = if caps.class == DeviceClass::Software { EIGHT } else { 256 };
    classes.div_ceil(CLASSES).next_power_of_two().min(most)
}

/// What one of `lanes` invocations does in `passes` passes over a row and `trees` sums of what they have found.
pub(crate) fn elements(lanes: u32, classes: u32, [passes, trees]: [u32; 2]) -> u32 {
    passes * classes.div_ceil(lanes) + trees * lanes.ilog2()
}

/// The dispatch over rows of so many classes of a kernel of these files, an entry point of rows among them; `work` says how many passes
/// over a row and how many sums of what the lanes have found it makes.
pub(crate) fn of_rows<P: Params>(
    caps: &Caps,
    (name, files): (&'static str, &[Source]),
    [rows, classes]: [u32; 2],
    work: [u32; 2],
    params: &P,
) -> Dispatch {
    let lanes = lanes(caps, classes);
    let workgroup = if caps.class == DeviceClass::Software { EIGHT } else { lanes.max(64) };
    let shared = [source!("lib/largest.wgsl"), source!("lib/nan.wgsl"), source!("lib/workgroup.wgsl")];
    let kernel = Kernel::new(name, files).with(&shared).constant("WG", workgroup).constant("LANES", lanes).elements(1);
    let extent = Extent::Workgroups(rows.div_ceil(workgroup / lanes).into());
    Dispatch::new(kernel, params, extent).elements(elements(lanes, classes, work))
}
