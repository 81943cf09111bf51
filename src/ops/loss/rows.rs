//! Rows of logits, each owned by a number of invocations that suits its classes (lib/row.wgsl, lib/softmax.wgsl).

use crate::graph::Misfit;
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, Kernel, Params, Source, source};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::twin::{Outputs, Real};

/// Number of classes per invocation in each pass over a row, unless there are too many.
const CLASSES: u32 = 16;

/// Number of invocations that a software device runs at once. A workgroup of no more never waits at a barrier.
const EIGHT: u32 = 8;

/// Workgroup size of the kernel that adds up the results of all rows.
pub(crate) fn totals_workgroup(caps: &Caps) -> u32 {
    if caps.class == DeviceClass::Software { EIGHT } else { 256 }
}

/// Number of invocations that own a row of `classes` classes, on a software device no more than run at once. It
/// determines the order of sums.
pub(crate) fn lanes(caps: &Caps, classes: u32) -> u32 {
    let most = if caps.class == DeviceClass::Software { EIGHT } else { 256 };
    classes.div_ceil(CLASSES).next_power_of_two().min(most)
}

/// Number of elements that one of `lanes` invocations handles, in `passes` passes over a row and `trees` sums over
/// lanes.
pub(crate) fn elements(lanes: u32, classes: u32, [passes, trees]: [u32; 2]) -> u32 {
    passes * classes.div_ceil(lanes) + trees * lanes.ilog2()
}

/// Creates a dispatch over rows of `classes` classes, of a kernel of these files, which include an entry point for
/// rows. `work` is its number of passes over a row and of sums over lanes.
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

/// Checks that operand 2, the class weights if there are any, has one per class.
pub(crate) fn class_weights_fit(inputs: &[&Tensor], classes: usize) -> Result<(), Misfit> {
    match inputs.get(2).filter(|weight| weight.shape.dims() != [classes]) {
        Some(weight) => {
            let message = format!("class weight must be [{classes}], it is {}", weight.shape);
            Err(Misfit::between(message, &Shape::from([classes]), &weight.shape))
        }
        None => Ok(()),
    }
}

/// Rows of [N, classes] or, one per pixel, of [N, classes, H, W], as twins iterate over them.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    count: usize,
    classes: usize,
    plane: usize,
}

impl Rows {
    pub fn of(dims: &[usize]) -> Self {
        let plane = dims[2..].iter().product::<usize>();
        Rows { count: dims[0] * plane, classes: dims[1], plane }
    }

    /// Index of the element of a class.
    pub fn at(&self, row: usize, class: usize) -> usize {
        (row / self.plane * self.classes + class) * self.plane + row % self.plane
    }

    /// Indices of the elements of every row's classes.
    pub fn places(self) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
        (0..self.count).map(move |row| (0..self.classes).map(move |class| self.at(row, class)))
    }

    /// The class that a target names, if it is a class.
    pub fn class(&self, target: i32) -> Option<usize> {
        usize::try_from(target).ok().filter(|&class| class < self.classes)
    }
}

/// Sums the rows of a loss's twin. Output 1 holds the rows, output 2 the sums of their first columns, and output 0 the
/// loss: the sum of the first column, divided by that of the second for a mean.
pub(crate) fn add_up<R: Real, const COLUMNS: usize>(
    rows: impl Iterator<Item = [R; COLUMNS]>,
    mean: bool,
    outputs: &mut Outputs<R>,
) {
    let mut totals = [R::default(); 4];
    for (row, noted) in rows.zip(outputs.real(1).chunks_mut(COLUMNS)) {
        noted.copy_from_slice(&row);
        for (total, value) in totals.iter_mut().zip(row) {
            *total += value;
        }
    }
    outputs.real(0)[0] = if mean { totals[0] / totals[1] } else { totals[0] };
    outputs.real(2).copy_from_slice(&totals);
}
