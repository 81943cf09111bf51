//! Rows of logits, each owned by as many invocations as its classes are worth (lib/row.wgsl, lib/softmax.wgsl).

use crate::graph::Misfit;
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, Kernel, Params, Source, source};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::twin::{Outputs, Real};

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

/// Checks that operand 2, the weights of the classes where there are any, has one for each.
pub(crate) fn class_weights_fit(inputs: &[&Tensor], classes: usize) -> Result<(), Misfit> {
    match inputs.get(2).filter(|weight| weight.shape.dims() != [classes]) {
        Some(weight) => {
            let message = format!("class weight must be [{classes}], it is {}", weight.shape);
            Err(Misfit::between(message, &Shape::from([classes]), &weight.shape))
        }
        None => Ok(()),
    }
}

/// The rows of [N, classes] or, a pixel each, of [N, classes, H, W], as twins go through them.
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

    /// Where the element of a class lies.
    pub fn at(&self, row: usize, class: usize) -> usize {
        (row / self.plane * self.classes + class) * self.plane + row % self.plane
    }

    /// For every row where the elements of its classes lie.
    pub fn places(self) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
        (0..self.count).map(move |row| (0..self.classes).map(move |class| self.at(row, class)))
    }

    /// The class that a target names, if it names one.
    pub fn class(&self, target: i32) -> Option<usize> {
        usize::try_from(target).ok().filter(|&class| class < self.classes)
    }
}

/// What a loss's twin makes of its rows: output 1 holds them, output 2 the sums of their first columns, output 0 the loss, which is
/// the sum of the first column, over that of the second where it is a mean.
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
