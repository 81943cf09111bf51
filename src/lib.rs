//! tilegrad trains convolutional neural networks on any GPU that [wgpu](https://wgpu.rs) reaches: Vulkan, Metal and
//! DX12. Its kernels are WGSL files, scheduled by a graph on the host; names, attributes and results are PyTorch's.
//! This page is the map. "Convolution" means cross-correlation, as it does in PyTorch.
//!
//! # A network that trains
//!
//! ```
//! use tilegrad::data::{ResidentSource, synthetic};
//! use tilegrad::gpu::{Device, DeviceOptions};
//! use tilegrad::nn::{Conv2d, Flatten, Linear, MaxPool2d, Relu, Sequential};
//! use tilegrad::optim::Sgd;
//! use tilegrad::train::{GpuEngine, TrainOptions, Trainer};
//!
//! # if std::env::var_os("TILEGRAD_SKIP_GPU").is_some() { return Ok(()); }
//! let model = Sequential::new()
//!     .with("conv", Conv2d::new(1, 8, 3).padding(1)) // 28x28, 8 channels
//!     .with("relu", Relu)
//!     .with("pool", MaxPool2d::new(4)) // 7x7
//!     .with("flatten", Flatten)
//!     .with("fc", Linear::new(8 * 7 * 7, 10));
//! let (train, validation) = synthetic::digits(1, 1_000).split_validation(0.1, 1)?;
//! let mut train = ResidentSource::new("train", train);
//! let mut validation = ResidentSource::new("validation", validation);
//!
//! let engine = GpuEngine::new(Device::new(DeviceOptions::default())?);
//! let sgd = Sgd::new(0.05).momentum(0.9).weight_decay(5e-4);
//! let options = TrainOptions::default().epochs(4).batch_size(32).seed(1).report_every(10);
//! let mut trainer = Trainer::new(model, sgd, engine, options, &train)?;
//! let history = trainer.fit(&mut train, &mut validation)?;
//! print!("{}", history.to_csv());
//! # let [first, .., last] = history.epochs.as_slice() else { panic!("four epochs") };
//! # assert!(last.train_loss < first.train_loss / 2.0, "{history:?}");
//! # Ok::<(), tilegrad::Error>(())
//! ```
//!
//! # Layers
//!
//! A module may use its own line and those above it, and no circle of imports joins files of different rooms (both tested):
//!
//! | modules | what is in them |
//! |---|---|
//! | [`error`], [`shape`], [`tensor`], [`rng`], [`files`] | the ground: errors, extents and the order of elements, tensors, random numbers by counter, whole files |
//! | [`twin`] | what a CPU twin is: an operation in plain loops, and the host's tensors that it reads and makes |
//! | [`kernel`] | from a node's tensors to dispatches, as plain data: WGSL files and their header, dispatches, the epilogue, candidates and the choices among them |
//! | [`graph`] | the tape and its autodiff, and what an operation is ([`graph::Operation`]) |
//! | [`ops`] | the operations, a room each or for a family: attributes, shape rule, gradient rule, candidates, twin |
//! | [`plan`], [`reference`](mod@reference) | from a tape to dispatches and memory, in passes, its rewrite rules among them ([`plan::fuse`]); the executor that runs a tape by twins |
//! | [`gpu`] | devices, linked kernels, parameter stores, sessions, profiles, tuner; alone names wgpu and naga |
//! | [`nn`], [`optim`], [`data`], [`train`], [`report`] | layers and models; SGD and schedules of its rates; images from files or made, augmentation, batches; the loop over epochs, progress, verdict, files and folders of runs; TensorBoard's event files, sheets of pictures, confusion matrices, curves |
//!
//! [`nn`] builds tapes and never sees a buffer or a plan. [`gpu`] runs plans and does not know what a convolution is for.
//! What [`kernel`] and [`plan`] must know of a device comes as plain data: [`kernel::Caps`], its limits, and
//! [`kernel::Choices`], which candidates to take. Nothing lists the operations; each has its room in `src/ops`, and its shaders
//! in the room of the same name of `shaders/`.
//!
//! To follow an operation: its room says what it is and which candidates compute it; a candidate names its WGSL files and pushes
//! its dispatches; `plan/lower.rs` takes a candidate for each node.
//!
//! # One training step
//!
//! Made once: a model appends nodes to a [`graph::Tape`]; [`graph::Tape::backward`] walks it in reverse and appends the
//! gradients; [`optim::Optimizer::minimize`] appends one in-place update for each parameter group. A [`plan::Plan`] drops what
//! nothing needs, joins pairs of nodes that one kernel can do (and lets a convolution sum up for the batch norm after it), gives every activation a slot (a buffer that tensors share
//! when they are never alive together) and lists the dispatches in four stages: gather, forward, backward, update. A
//! [`gpu::Session`] compiles the kernels and
//! makes the bind groups.
//!
//! Each step: indices of the batch (or its images), the schedule's learning rate and momentum are written, and an input that nobody
//! has written is an error that names it; the dispatches are recorded
//! in order and submitted, once or in the parts that the plan is cut into, so that no watchdog ends a long step; what shares no buffer
//! that is written may begin together. Loss, right predictions and, in evaluation, the confusion matrix add up on the device; every so many
//! steps they are copied, and reported when the copy is there, while later steps run. Stages also run apart, and between backward and update gradients can be read and replaced.
//!
//! A [`train::Trainer`] does this over epochs; `examples/loop_by_hand.rs` is the same loop by hand. What a network is trained for is
//! a [`train::Loss`], and how its parameters are updated an [`optim::Optimizer`]; a program may have its own of both. Where a run is
//! is one struct, [`train::Run`] (steps, epochs, batches of the epoch, history, clocks), so
//! a [`train::Snapshot`] of it with parameters, what the optimizer keeps, buffers and accumulators is all that the rest depends on: what
//! checkpoints hold, what a run goes on from after its device was lost, and from where the tripwire repeats the step whose loss
//! was not finite.
//!
//! # What stays true
//!
//! - Interfaces, messages and files speak PyTorch's order: NCHW, weights OIHW. In memory activations are channels-last
//!   (NHWC) and convolution weights HWIO; [`shape::Layout`] converts on the way in and out.
//! - Parameters, gradients and whatever an optimizer keeps, by name, are each one flat buffer a parameter group, every tensor padded to 256 bytes; a
//!   matrix or data set larger than one binding is cut by rows and dispatched piece by piece.
//! - One invocation owns each output element and adds in a fixed order, with no float atomics, and a random number
//!   depends on seed, name and index alone: two runs with one seed on one adapter agree to the bit.
//! - Every operation has a direct kernel, right for every attribute within WebGPU's default limits. Faster candidates stand
//!   beside it, and every candidate is held to the same twin, by [`gpu::Specimen`].
//! - A rewrite rule changes no bit of a result, and can be left out by name. A plan says what it chose, and a plan made of those
//!   choices is the same.
//! - Bindings and workgroup sizes are read off the linked WGSL, never listed twice. The library's kernels run without bounds checks
//!   unless [`gpu::SessionOptions`] asks for them; tests run both forms.
//! - A run that goes on from a snapshot ends in the bytes that it would have ended in.
//! - A plan holds no wgpu object, so it outlives a lost device. After warm-up a step makes no buffer, bind group or
//!   pipeline, and waits for no more than the step four before it ([`gpu::Counters`]). A frozen parameter has no gradient dispatch.
//! - Buffers of a model, such as running means, are kept by name beside the parameters, and saved with them.
//! - Models hold configuration and names, not tensors: tapes for training, evaluation and any batch size share one store.
//! - Errors are typed and name the thing; shapes and attributes are checked when a tape is built, limits when it is
//!   planned. The library never prints (it logs through `log`) and does not panic on bad input; the few methods that
//!   index as slices do say so.

pub mod data;
pub mod error;
pub mod files;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod reference;
pub mod report;
pub mod rng;
pub mod shape;
pub mod tensor;
pub mod train;
pub mod twin;
pub use error::{Error, NonFinite, Result};

/// Compiles the code of README.md with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles and runs the code of docs/api.md with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/api.md")]
struct Api;
