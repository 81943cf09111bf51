//! Batches of any data set, got ahead of the device: while it computes a step, other threads read and decode the images of
//! the next ones.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::dataset::{Bytes, Dataset};
use super::source::{Uploads, check};
use super::{Augmentation, Batch, BatchSink, BatchSource, Normalisation};
use crate::error::Result;
use crate::graph::Tape;
use crate::tensor::TensorId;

/// Batches that wait decoded for their step, besides the one that is being decoded.
const AHEAD: usize = 3;

/// Batches of a [`Dataset`], for data larger than the device's memory, or than the host's.
///
/// Where [`BatchSource::plan`] has said what will be fed, all cores get the next batches ahead, in order; without it each
/// batch is got on all cores when it is fed. The numbers that arrive are to the bit those of [`super::ResidentSource`].
pub struct DatasetSource {
    name: String,
    dataset: Arc<dyn Dataset>,
    uploads: Uploads,
    ahead: usize,
    reader: Option<Reader>,
}

impl DatasetSource {
    /// `dataset` under `name`, which tells the data sets of a run apart; bytes become 0..1.
    pub fn new(name: impl Into<String>, dataset: impl Dataset + 'static) -> Self {
        let uploads = Uploads::default();
        DatasetSource { name: name.into(), dataset: Arc::new(dataset), uploads, ahead: AHEAD, reader: None }
    }

    /// Changes the images at random where they are trained on, as [`super::ResidentSource::augmented`] does and by the
    /// same random numbers; they are evaluated as they are.
    pub fn augmented(mut self, augment: impl Into<Augmentation>) -> Self {
        self.uploads.augment = Some(augment.into());
        self
    }

    /// Sets how bytes become numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.uploads.normalisation = normalisation;
        self
    }

    /// How many batches may wait decoded for their step (else 3): more even out images that take unequally long, each holds its
    /// bytes in the host's memory. With 0 each is got when it is fed, which is enough for images in memory.
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

    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        self.uploads.declare(tape, self.dataset.image_size(), size)
    }

    fn plan(&mut self, batches: &[Vec<u32>]) {
        // The old one ends first, so that two do not share the cores.
        self.reader = None;
        let len = self.len();
        // A batch that does not exist is refused when it is fed.
        if self.ahead > 0 && batches.iter().all(|batch| check(batch, len).is_ok()) {
            self.reader = Reader::start(&self.name, Arc::clone(&self.dataset), batches, self.ahead);
        }
    }

    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        let indices = batch.indices();
        let got = match self.reader.as_mut().and_then(|reader| reader.next(indices)) {
            Some(batch) => batch,
            None => {
                // Not what was planned, or all of that is done.
                self.reader = None;
                read(&*self.dataset, indices)
            }
        };
        let Bytes { images, labels } = got?;
        let bytes = self.dataset.image_size().values();
        let image = |slot: usize| &images[slot * bytes..(slot + 1) * bytes];
        self.uploads.send(sink, self.dataset.image_size(), batch, &labels, image)
    }
}

/// A thread that gets batches in order and waits while enough of them are ready.
struct Reader {
    planned: VecDeque<Vec<u32>>,
    /// Gone before the thread is waited for, because it may be waiting to send.
    batches: Option<Receiver<Result<Bytes>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// None where there is nothing to do, or no thread to be had: batches are then got when they are fed.
    fn start(name: &str, dataset: Arc<dyn Dataset>, batches: &[Vec<u32>], ahead: usize) -> Option<Self> {
        if batches.is_empty() {
            return None;
        }
        let planned: VecDeque<Vec<u32>> = batches.to_vec().into();
        let (sender, receiver) = sync_channel(ahead);
        let wanted = planned.clone();
        let work = move || {
            for indices in &wanted {
                // Nobody listens any more where the plan has changed.
                if sender.send(read(&*dataset, indices)).is_err() {
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

    /// The next batch, if it is of the images `indices`; none too where the thread has ended.
    fn next(&mut self, indices: &[u32]) -> Option<Result<Bytes>> {
        if self.planned.pop_front()? != indices {
            return None;
        }
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the user's data set comes again where the batch is fed.
            let _ = thread.join();
        }
    }
}

/// A batch, got on threads of its own: on those that make numbers of the present batch it would hold that one up.
fn read(dataset: &dyn Dataset, indices: &[u32]) -> Result<Bytes> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| ThreadPoolBuilder::new().thread_name(|i| format!("decode {i}")).build().ok());
    match pool {
        Some(pool) => pool.install(|| Bytes::read(dataset, indices)),
        None => Bytes::read(dataset, indices),
    }
}
