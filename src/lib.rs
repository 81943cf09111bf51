//! tilegrad trains convolutional neural networks on any GPU that [wgpu](https://wgpu.rs) reaches: Vulkan, Metal and
//! DX12. Its kernels are WGSL files, scheduled by a graph on the host. Names, attributes and results are PyTorch's.
//! This page is the map. "Convolution" means cross-correlation, as in PyTorch.
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
//! A module may use its own row and the rows above it. Files in different folders never import each other in a cycle.
//! Tests hold both rules.
//!
//! | modules | contents |
//! |---|---|
//! | [`error`], [`shape`], [`tensor`], [`rng`], [`files`] | foundation: errors, extents and element order, tensors, counter-based random numbers, whole-file writes |
//! | [`twin`] | CPU twins: the trait for an operation in plain loops, and the host tensors that it reads and writes |
//! | [`kernel`] | lowering from a node's tensors to dispatches, as plain data: WGSL files and their header, dispatches, the epilogue, candidates and the choices among them |
//! | [`graph`] | the tape, its autodiff, and the trait of an operation ([`graph::Operation`]) |
//! | [`ops`] | the operations, one module each or one per family: attributes, shape rule, gradient rule, candidates, twin |
//! | [`plan`], [`reference`](mod@reference) | passes from a tape to dispatches and memory, including the rewrite rules ([`plan::fuse`]); the executor that runs a tape by its twins |
//! | [`gpu`] | devices, linked kernels, parameter stores, sessions, profiles, tuner; the only module that names wgpu and naga |
//! | [`nn`], [`optim`], [`data`], [`train`], [`report`] | layers and models; SGD and its schedules; images from files or synthetic, augmentation, batches; the training loop, its progress, its diagnosis, the files and folders of runs; TensorBoard event files, image sheets, confusion matrices, curves |
//!
//! [`nn`] builds tapes and never sees a buffer or a plan. [`gpu`] runs plans and does not know what a convolution is
//! for. [`kernel`] and [`plan`] get what they need of a device as plain data: [`kernel::Caps`] holds its limits, and
//! [`kernel::Choices`] the candidates to take. No list of operations exists. Each operation or family has its module in
//! `src/ops`, and its shaders lie in the folder of the same name in `shaders/`.
//!
//! To follow an operation, start at its module, which defines it and lists the candidates that compute it. A candidate
//! names its WGSL files and pushes its dispatches. `plan/lower.rs` takes one candidate for each node.
//!
//! # One training step
//!
//! Built once: a model appends nodes to a [`graph::Tape`]. [`graph::Tape::backward`] walks the tape in reverse and
//! appends the gradients. [`optim::Optimizer::minimize`] appends one in-place update for each parameter group. A
//! [`plan::Plan`] drops unused nodes and fuses pairs of nodes that one kernel can compute; it also lets a convolution
//! compute the sums for the batch norm after it. It assigns every activation a slot: a buffer shared by tensors that
//! are never alive together. It lists the dispatches in four stages: gather, forward, backward, update. A
//! [`gpu::Session`] compiles the kernels and creates the bind groups.
//!
//! Each step: the host writes the indices of the batch (or its images) and the schedule's learning rate and momentum.
//! An input that was not written is an error that names it. The dispatches are recorded in order. They are submitted
//! once, or in the parts that the plan is cut into, which keeps a long step below the watchdog's limit. Dispatches that
//! share no written buffer may overlap. The loss, the number of correct predictions and, in evaluation, the confusion
//! matrix accumulate on the device. Every few steps they are copied to a staging buffer and reported once the copy has
//! arrived, while later steps run. Stages also run apart; between backward and update, gradients can be read and
//! replaced.
//!
//! A [`train::Trainer`] repeats this over epochs; `examples/loop_by_hand.rs` is the same loop by hand. The objective is
//! a [`train::Loss`], and the parameter update an [`optim::Optimizer`]; a program may implement either. The position of
//! a run is one struct, [`train::Run`] (steps, epochs, batches of the epoch, history, clocks). A [`train::Snapshot`]
//! holds it with the parameters, the optimizer's state, the buffers and the accumulators. Everything else builds on
//! snapshots: checkpoints store them, a run resumes from one after its device was lost, and the tripwire repeats from
//! one the step whose loss was not finite.
//!
//! # Invariants
//!
//! - Interfaces, messages and files use PyTorch's order: NCHW, weights OIHW. In memory, activations are channels-last
//!   (NHWC) and convolution weights HWIO; [`shape::Layout`] converts on the way in and out.
//! - Parameters, gradients and each named optimizer state are one flat buffer per parameter group, every tensor padded
//!   to 256 bytes. A matrix or data set larger than one binding is cut by rows and dispatched piece by piece.
//! - One invocation owns each output element and adds in a fixed order, with no float atomics. A random number depends
//!   on seed, name and index alone. Two runs with one seed on one adapter therefore agree to the bit.
//! - Every operation has a direct kernel, right for every attribute within WebGPU's default limits. Faster candidates
//!   stand beside it, and every candidate is tested against the same twin, by [`gpu::Specimen`].
//! - A rewrite rule changes no bit of a result, and can be disabled by name. A plan reports its choices, and a plan
//!   made from those choices is the same.
//! - Bindings and workgroup sizes are reflected from the linked WGSL, never listed twice. The library's kernels run
//!   without bounds checks unless [`gpu::SessionOptions`] asks for them; tests run both forms.
//! - A run resumed from a snapshot ends in the same bytes as an uninterrupted one.
//! - A plan holds no wgpu object, so it outlives a lost device. After warm-up a step creates no buffer, bind group or
//!   pipeline, and waits at most for the step four before it ([`gpu::Counters`]). A frozen parameter has no gradient
//!   dispatch.
//! - Buffers of a model, such as running means, are kept by name beside the parameters, and saved with them.
//! - Models hold configuration and names, not tensors: tapes for training, evaluation and any batch size share one
//!   store.
//! - Errors are typed and name the thing at fault. Shapes and attributes are checked when a tape is built, limits when
//!   it is planned. The library never prints (it logs through `log`) and does not panic on bad input; the few methods
//!   that index as slices do say so.

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
