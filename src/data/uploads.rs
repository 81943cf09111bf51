//! The conversion and upload of batches for sources whose images stay on the host.

use rayon::prelude::*;

use super::conversion::{Conversion, Converter};
use super::dataset::Bytes;
use super::{Batch, BatchSink};
use crate::error::{Error, Result};
use crate::graph::{Purpose, Tape};
use crate::shape::ImageSize;
use crate::tensor::{Spec, TensorId, Values};

/// The conversion and upload of batches.
#[derive(Default)]
pub(super) struct Uploads {
    pub conversion: Conversion,
    numbers: Vec<f32>,
}

impl Uploads {
    /// Declares a batch of `count` images of this size.
    pub fn declare(&self, tape: &mut Tape, size: ImageSize, count: usize) -> Result<(TensorId, TensorId)> {
        self.conversion.check(size).map_err(|misfit| Error::config("augment", misfit.into_message()))?;
        let input = tape.input("input", Spec::f32(self.conversion.output(size).nchw(count)))?;
        Ok((input, tape.input("target", Spec::i32([count]))?))
    }

    /// Converts the images of a batch, of this size, to numbers and sends them with the labels. Random numbers depend on
    /// the indices in the data set.
    pub fn send(&mut self, sink: &mut dyn BatchSink, size: ImageSize, batch: &Batch<'_>, bytes: &Bytes) -> Result<()> {
        let indices = batch.indices();
        let random = batch.random().unwrap_or_default();
        let output_size = self.conversion.output(size);
        let (values, extents) = (output_size.values(), [size.height, size.width]);
        let to = [output_size.height, output_size.width];
        let converter = self.conversion.converter(size, batch.purpose() == Purpose::Train);
        let after_cut = self.conversion.after_cut();
        self.numbers.resize(indices.len() * values, 0.0);
        let batch = self.numbers.par_chunks_mut(values.max(1)).zip(indices).enumerate();
        batch.for_each(|(slot, (output, &index))| match (&converter, bytes.cut(slot)) {
            (_, Some(cut)) => {
                let (op, augment) = &after_cut;
                op.image(cut, output_size.chw(), augment.draw(&random, index, to), output);
            }
            (Converter::Transform(op, augment), None) => {
                let drawn = augment.draw_to(&random, index, extents, to);
                op.image(bytes.whole(slot, size), size.chw(), drawn, output);
            }
            (Converter::Gather(op), None) => op.image(bytes.whole(slot, size), size.chw(), index, &random, output),
        });
        sink.write("input", Values::F32(&self.numbers))?;
        sink.write("target", Values::I32(&bytes.labels))
    }
}
