//! Batches of any data set, prefetched: while the device computes a step, other threads read and decode the images of
//! the next ones.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::dataset::{Bytes, Cuts, Dataset};
use super::source::{check, digest_of};
use super::uploads::Uploads;
use super::{Augmentation, Batch, BatchSink, BatchSource, Normalisation};
use crate::error::Result;
use crate::graph::Tape;
use crate::tensor::TensorId;

/// Number of decoded batches that wait for their step, besides the one being decoded.
const AHEAD: usize = 3;

/// Batches of a [`Dataset`], for data larger than device memory or host memory.
///
/// After [`BatchSource::plan`] has announced the batches, all cores prefetch them in order. Otherwise each batch is
/// decoded on all cores when it is fed. The values are bitwise those of [`super::ResidentSource`], but for one: the box of
/// a random resized crop is cut out of the image at its full size where the data set has it ([`Dataset::get_cut`]), and
/// then scaled with antialiasing.
pub struct DatasetSource {
    name: String,
    dataset: Arc<dyn Dataset>,
    uploads: Uploads,
    ahead: usize,
    reader: Option<Reader>,
}

impl DatasetSource {
    /// Creates a source of `dataset`. `name` distinguishes the data sets of a run; bytes become 0..1.
    pub fn new(name: impl Into<String>, dataset: impl Dataset + 'static) -> Self {
        let uploads = Uploads::default();
        DatasetSource { name: name.into(), dataset: Arc::new(dataset), uploads, ahead: AHEAD, reader: None }
    }

    /// Augments images at random in training, as [`super::ResidentSource::augmented`] does and with the same random
    /// numbers. Evaluation leaves them unchanged.
    pub fn augmented(mut self, augment: impl Into<Augmentation>) -> Self {
        self.uploads.conversion.augment = Some(augment.into());
        self
    }

    /// Sets the conversion from bytes to numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.uploads.conversion.normalisation = normalisation;
        self
    }

    /// Sets height and width of the images in a batch, as [`super::ResidentSource::output_size`] does.
    pub fn output_size(mut self, size: [usize; 2]) -> Self {
        self.uploads.conversion.output = Some(size);
        self
    }

    /// Sets the number of decoded batches that may wait for their step (3 by default). More batches even out images of
    /// unequal decoding time, but hold their bytes in host memory. With 0 each is decoded when it is fed, which suits
    /// images in memory.
    pub fn ahead(mut self, batches: usize) -> Self {
        self.ahead = batches;
        self
    }
}

impl BatchSource for DatasetSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn labels(&self) -> Option<Vec<i32>> {
        (0..self.dataset.len()).map(|i| self.dataset.label(i).ok()).collect()
    }

    fn digest(&self) -> Option<u64> {
        let dataset = &*self.dataset;
        digest_of(dataset, |i| dataset.file_digest(i))
    }

    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        self.uploads.declare(tape, self.dataset.image_size(), size)
    }

    fn plan(&mut self, batches: &[Batch<'_>]) {
        // The old reader ends first, so that the two do not share the cores.
        self.reader = None;
        let len = self.len();
        // An invalid batch is refused when it is fed.
        if self.ahead > 0 && batches.iter().all(|batch| check(batch.indices(), len).is_ok()) {
            let batches = batches.iter().map(|batch| self.wanted(batch)).collect();
            self.reader = Reader::start(&self.name, Arc::clone(&self.dataset), batches, self.ahead);
        }
    }

    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        let wanted = self.wanted(batch);
        let got = match self.reader.as_mut().and_then(|reader| reader.next(&wanted)) {
            Some(batch) => batch,
            None => {
                // The batch was not planned, or all planned batches are done.
                self.reader = None;
                read(&*self.dataset, &wanted)
            }
        };
        self.uploads.send(sink, self.dataset.image_size(), batch, &got?)
    }
}

impl DatasetSource {
    fn wanted(&self, batch: &Batch<'_>) -> Wanted {
        let conversion = &self.uploads.conversion;
        let crop = conversion.augment.and_then(|augment| augment.resized_crop);
        let output = conversion.output(self.dataset.image_size());
        let to = [output.height, output.width];
        let cuts = crop.zip(batch.random()).map(|(crop, random)| Cuts { crop, random, to });
        Wanted { indices: batch.indices().to_vec(), cuts }
    }
}

/// What is read of a batch: its images, or the boxes drawn for them.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    indices: Vec<u32>,
    cuts: Option<Cuts>,
}

/// A thread that prefetches batches in order and waits while enough of them are ready.
struct Reader {
    planned: VecDeque<Wanted>,
    /// Dropped before the join, because the thread may be blocked in a send.
    batches: Option<Receiver<Result<Bytes>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts the thread. Returns `None` without batches or without a thread; batches are then decoded when they are
    /// fed.
    fn start(name: &str, dataset: Arc<dyn Dataset>, batches: VecDeque<Wanted>, ahead: usize) -> Option<Self> {
        if batches.is_empty() {
            return None;
        }
        let planned = batches.clone();
        let (sender, receiver) = sync_channel(ahead);
        let work = move || {
            for wanted in &batches {
                // The receiver is dropped when the plan changes.
                if sender.send(read(&*dataset, wanted)).is_err() {
                    return;
                }
            }
        };
        match Builder::new().name(format!("{name} ahead")).spawn(work) {
            Ok(thread) => Some(Reader { planned, batches: Some(receiver), thread: Some(thread) }),
            Err(error) => {
                log::warn!("images of {name} are not read ahead: {error}");
                None
            }
        }
    }

    /// The next batch, if it is `wanted`; `None` otherwise, or if the thread has ended.
    fn next(&mut self, wanted: &Wanted) -> Option<Result<Bytes>> {
        if self.planned.pop_front()? != *wanted {
            return None;
        }
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the user's data set recurs when the batch is fed.
            let _ = thread.join();
        }
    }
}

/// Reads a batch in a separate thread pool, so that it does not delay the threads that convert the current batch.
fn read(dataset: &dyn Dataset, Wanted { indices, cuts }: &Wanted) -> Result<Bytes> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| ThreadPoolBuilder::new().thread_name(|i| format!("decode {i}")).build().ok());
    match pool {
        Some(pool) => pool.install(|| Bytes::read(dataset, indices, *cuts)),
        None => Bytes::read(dataset, indices, *cuts),
    }
}
