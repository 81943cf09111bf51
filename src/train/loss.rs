//! Training objectives: losses over a network's output, built in or custom.

use super::class_weights::ClassWeights;
use crate::error::{Error, Result};
use crate::graph::{Purpose, Tape};
use crate::nn::Module;
use crate::ops::mixup::{LAMBDA, Mixup};
use crate::ops::softmax_cross_entropy::{CrossEntropy, SoftmaxCrossEntropy};
use crate::tensor::{Spec, TensorId};

/// A training objective: a loss, and further metrics.
///
/// A closure over the network's output and the batch's target implements it. In this example a regression network
/// learns to double numbers (`Doubles` is the source in [`crate::data::BatchSource`]'s example):
///
/// ```
/// # use tilegrad::data::{Batch, BatchSink, BatchSource};
/// # use tilegrad::graph::{Spec, Tape, TensorId, Values};
/// # struct Doubles(&'static str);
/// # impl BatchSource for Doubles {
/// #     fn name(&self) -> &str {
/// #         self.0
/// #     }
/// #     fn len(&self) -> usize {
/// #         64
/// #     }
/// #     fn declare(&self, tape: &mut Tape, size: usize) -> tilegrad::Result<(TensorId, TensorId)> {
/// #         Ok((tape.input("input", Spec::f32([size, 1]))?, tape.input("target", Spec::f32([size, 1]))?))
/// #     }
/// #     fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> tilegrad::Result<()> {
/// #         let inputs: Vec<f32> = batch.indices().iter().map(|&i| i as f32 / 64.0).collect();
/// #         let targets: Vec<f32> = inputs.iter().map(|x| 2.0 * x).collect();
/// #         sink.write("input", Values::F32(&inputs))?;
/// #         sink.write("target", Values::F32(&targets))
/// #     }
/// # }
/// use tilegrad::nn::{Linear, Reduction};
/// use tilegrad::optim::Sgd;
/// use tilegrad::train::{CpuEngine, TrainOptions, Trainer};
///
/// let (mut train, mut validation) = (Doubles("train"), Doubles("validation"));
/// let loss = |tape: &mut Tape, output: TensorId, target: TensorId| {
///     tape.mse_loss("loss", output, target, Reduction::Mean)
/// };
/// let options = TrainOptions::default().epochs(40).batch_size(16);
/// let mut trainer =
///     Trainer::with_loss(Linear::new(1, 1), loss, Sgd::new(0.1).momentum(0.9), CpuEngine::new(), options, &train)?;
/// let history = trainer.fit(&mut train, &mut validation)?;
/// # let last = history.epochs.last().map(|epoch| epoch.validation_loss);
/// # assert!(last.is_some_and(|loss| loss < 1e-4), "{last:?}");
/// # Ok::<(), tilegrad::Error>(())
/// ```
///
/// A type that implements the trait can measure more than its loss ([`Loss::metrics`]). It may also split the network's
/// output: a network with two heads concatenates them ([`Tape::concat`]), and [`Tape::narrow`] selects the part for
/// each loss.
pub trait Loss: Send + Sync {
    /// Appends the loss of the network's `output` for `target` to `tape` and returns it: the mean over the batch, of
    /// shape \[1\].
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<TensorId>;

    /// Appends further metrics, each of shape \[1\] and a mean over the batch, with its name. Their means over an epoch
    /// are in [`super::Epoch::metrics`]. None by default.
    fn metrics(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<Vec<(String, TensorId)>> {
        let _ = (tape, output, target);
        Ok(Vec::new())
    }

    /// Appends `model` and the loss. It is the only method that the trainer calls for a tape. By default it runs
    /// `model.forward`, then [`Loss::loss`] and [`Loss::metrics`], and counts no predictions. A loss with classes
    /// overrides it and fills [`Objective::classes`], for accuracy and the confusion matrix. A loss that changes the
    /// input overrides it too. On a tape for evaluation it appends the values measured there.
    fn append(&self, tape: &mut Tape, model: &dyn Module, input: TensorId, target: TensorId) -> Result<Objective> {
        let output = model.forward(tape, input)?;
        let loss = self.loss(tape, output, target)?;
        let metrics = self.metrics(tape, output, target)?;
        Ok(Objective { loss, classes: None, metrics })
    }

    /// Returns values for the loss's own inputs, written before each training step, drawn from the step's
    /// [`crate::rng::draw`].
    fn inputs(&self, random: &[i32; 4]) -> Vec<(String, Vec<f32>)> {
        let _ = random;
        Vec::new()
    }
}

/// The tensors that a [`Loss`] has appended to a tape.
#[derive(Clone, Debug)]
pub struct Objective {
    /// The value that training minimises, \[1\].
    pub loss: TensorId,
    /// The source of accuracy and confusion matrix, for a loss over classes or for the part of a loss that predicts
    /// classes. The reported loss is [`Objective::loss`].
    pub classes: Option<Classes>,
    /// Further metrics, each \[1\].
    pub metrics: Vec<(String, TensorId)>,
}

/// The tensors from which correct predictions are counted.
#[derive(Clone, Copy, Debug)]
pub struct Classes {
    /// Loss and counts of the batch.
    pub counts: CrossEntropy,
    /// [rows, classes].
    pub logits: TensorId,
    /// \[rows\] of i32.
    pub target: TensorId,
}

impl<F: Fn(&mut Tape, TensorId, TensorId) -> Result<TensorId> + Send + Sync> Loss for F {
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<TensorId> {
        self(tape, output, target)
    }
}

/// torch.nn.CrossEntropyLoss over logits [N, classes] with targets \[N\], or for each pixel over logits [N, classes, H,
/// W] with targets [N, H, W]; accuracy and confusion matrix then count pixels. It is the default loss of
/// [`super::Trainer`]. In evaluation nothing is smoothed, mixed or weighted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropyLoss {
    /// The part of each training target that is spread evenly over the classes, 0 to 1.
    pub label_smoothing: f32,
    /// Mixes each training batch with itself. Accuracy in training then counts the class with the larger share.
    pub mixup: Option<Mixup>,
    /// Weights of the classes in training. The mean of a batch divides by the sum of its targets' weights. Where
    /// gradients of several batches are accumulated, each batch is such a mean, as in PyTorch.
    pub class_weights: Option<ClassWeights>,
}

/// Name of the input with the weights of the classes.
const CLASS_WEIGHTS: &str = "class_weights";

impl CrossEntropyLoss {
    /// Sets the part of each training target that is spread evenly over the classes, 0 to 1.
    pub fn label_smoothing(mut self, label_smoothing: f32) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// Sets or removes the mixing of each batch with itself.
    pub fn mixup(mut self, mixup: impl Into<Option<Mixup>>) -> Self {
        self.mixup = mixup.into();
        self
    }

    /// Sets or removes the weights of the classes.
    pub fn class_weights(mut self, weights: impl Into<Option<ClassWeights>>) -> Self {
        self.class_weights = weights.into();
        self
    }

    /// The input with the weights of the classes of `logits`, on a tape for training.
    fn weight(&self, tape: &mut Tape, logits: TensorId) -> Result<Option<TensorId>> {
        let Some(weights) = self.class_weights.as_ref().filter(|_| tape.purpose() == Purpose::Train) else {
            return Ok(None);
        };
        let classes = tape.shape(logits).dims().get(1).copied().unwrap_or(0);
        if classes != weights.len() {
            let message = format!("are of {} classes, the network has {classes} outputs", weights.len());
            return Err(Error::config(CLASS_WEIGHTS, message).between(classes, weights.len()));
        }
        match tape.find_input(CLASS_WEIGHTS) {
            Some(id) => Ok(Some(id)),
            None => Ok(Some(tape.input(CLASS_WEIGHTS, Spec::f32([classes]))?)),
        }
    }
}

impl Loss for CrossEntropyLoss {
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<TensorId> {
        let op = SoftmaxCrossEntropy { label_smoothing: self.label_smoothing, ..Default::default() };
        let weight = self.weight(tape, output)?;
        Ok(tape.softmax_cross_entropy("loss", output, target, weight, op)?.loss)
    }

    fn append(&self, tape: &mut Tape, model: &dyn Module, mut input: TensorId, target: TensorId) -> Result<Objective> {
        let training = tape.purpose() == Purpose::Train;
        let label_smoothing = if training { self.label_smoothing } else { 0.0 };
        let op = SoftmaxCrossEntropy { label_smoothing, ..Default::default() };
        let mixed = match self.mixup.filter(|_| training) {
            Some(_) => {
                let lambda = tape.mixup_lambda()?;
                input = tape.mixup("mixup", input, lambda)?;
                Some(lambda)
            }
            None => None,
        };
        let logits = model.forward(tape, input)?;
        if mixed.is_some() && tape.shape(target).rank() > 1 {
            return Err(Error::config(
                "mixup",
                "mixes images and the labels of whole images; targets of pixels can't be mixed",
            ));
        }
        let (logits, target) = tape.rows_of_pixels(logits, target)?;
        let weight = self.weight(tape, logits)?;
        let counts = match mixed {
            Some(lambda) => tape.mixed_cross_entropy("loss", logits, target, weight, lambda, op)?,
            None => tape.softmax_cross_entropy("loss", logits, target, weight, op)?,
        };
        Ok(Objective { loss: counts.loss, classes: Some(Classes { counts, logits, target }), metrics: Vec::new() })
    }

    fn inputs(&self, random: &[i32; 4]) -> Vec<(String, Vec<f32>)> {
        let lambda = self.mixup.map(|mixup| (LAMBDA.to_string(), vec![mixup.lambda(random)]));
        let weights = self.class_weights.as_ref().map(|weights| (CLASS_WEIGHTS.to_string(), weights.values().to_vec()));
        lambda.into_iter().chain(weights).collect()
    }
}
