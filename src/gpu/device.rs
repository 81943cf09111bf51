//! A device: an adapter with its limits and features, and the errors that occurred on it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;
use serde_json::Value;

use super::adapter;
use super::cache::{self, PipelineCache};
use super::failure::{Failure, locked};
use super::measure::facts::facts;
use super::pipelines::Pipeline;
use super::units::known_device;
use crate::error::{Error, Result};
use crate::kernel::{Caps, Kernel};
use crate::plan::DeviceRates;

/// Maximum number of steps in flight before the host waits for the oldest. More would only cost memory.
pub(super) const IN_FLIGHT: usize = 4;

/// Options for the choice of the adapter and for disabling its optional features.
/// ```
/// use tilegrad::gpu::DeviceOptions;
///
/// let options = DeviceOptions::default().adapter("llvmpipe").f16(false);
/// assert!(options.subgroups && !options.f16);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Case-insensitive substring of the adapter's name. Defaults to the environment variable `TILEGRAD_ADAPTER`.
    pub adapter: Option<String>,
    /// True to allow subgroup operations.
    pub subgroups: bool,
    /// True to allow half precision in kernels.
    pub f16: bool,
    /// True to allow timestamps, at pass boundaries and inside passes.
    pub timestamps: bool,
    /// True to allow the driver's pipeline cache.
    pub pipeline_cache: bool,
    /// Folder for files kept between runs, such as compiled pipelines; an empty path keeps nothing. Defaults to the
    /// environment variable `TILEGRAD_CACHE_DIR`, read in the same way, then to the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// True to use WebGPU's default limits in place of the adapter's own.
    pub default_limits: bool,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        DeviceOptions {
            adapter: None,
            subgroups: true,
            f16: true,
            timestamps: true,
            pipeline_cache: true,
            cache_dir: None,
            default_limits: false,
        }
    }
}

impl DeviceOptions {
    /// Sets the case-insensitive substring of the adapter's name.
    pub fn adapter(mut self, adapter: impl Into<String>) -> Self {
        self.adapter = Some(adapter.into());
        self
    }

    /// Allows or forbids subgroup operations.
    pub fn subgroups(mut self, subgroups: bool) -> Self {
        self.subgroups = subgroups;
        self
    }

    /// Allows or forbids half precision in kernels.
    pub fn f16(mut self, f16: bool) -> Self {
        self.f16 = f16;
        self
    }

    /// Allows or forbids timestamps.
    pub fn timestamps(mut self, timestamps: bool) -> Self {
        self.timestamps = timestamps;
        self
    }

    /// Allows or forbids the driver's pipeline cache.
    pub fn pipeline_cache(mut self, pipeline_cache: bool) -> Self {
        self.pipeline_cache = pipeline_cache;
        self
    }

    /// Sets the folder for files kept between runs; an empty path keeps nothing.
    pub fn cache_dir(mut self, cache_dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(cache_dir.into());
        self
    }

    /// Selects WebGPU's default limits in place of the adapter's own.
    pub fn default_limits(mut self, default_limits: bool) -> Self {
        self.default_limits = default_limits;
        self
    }
}

/// Counts of the objects that a device has created since it was opened, and of the host's waits for all of its work.
/// After warm-up a step creates no object and causes no such wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Number of buffers.
    pub buffers: u64,
    /// Number of bind groups.
    pub bind_groups: u64,
    /// Number of pipelines.
    pub pipelines: u64,
    /// Number of submissions.
    pub submissions: u64,
    /// Number of times that the host waited for all submitted work.
    pub waits: u64,
}

#[derive(Default)]
struct Made {
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    pipelines: AtomicU64,
    submissions: AtomicU64,
    waits: AtomicU64,
}

/// A GPU or a software rasteriser, ready to run kernels. Clones refer to the same device.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    options: DeviceOptions,
    info: wgpu::AdapterInfo,
    facts: Value,
    memory: Option<u64>,
    caps: Caps,
    device: wgpu::Device,
    queue: wgpu::Queue,
    cache_dir: Option<PathBuf>,
    cache: Option<PipelineCache>,
    failure: Arc<Failure>,
    pipelines: Mutex<HashMap<(Kernel, bool), Arc<Pipeline>>>,
    in_flight: Mutex<VecDeque<wgpu::SubmissionIndex>>,
    readback: Mutex<Option<wgpu::Buffer>>,
    spare: Mutex<Vec<wgpu::Buffer>>,
    rates: Mutex<Option<DeviceRates>>,
    samples: [OnceLock<f64>; 2],
    made: Made,
}

impl Device {
    /// Opens the adapter that `options` select: discrete before integrated before software.
    ///
    /// `WGPU_BACKEND` (vulkan, metal, dx12, gl) restricts the backends. OpenGL is tried only if it is named there.
    pub fn new(options: DeviceOptions) -> Result<Self> {
        let backends = match wgpu::Backends::from_env() {
            Some(named) => named,
            None => wgpu::Backends::PRIMARY,
        };
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = wgpu::InstanceFlags::from_build_config().with_env();
        // Vulkan's validation layers find wgpu's own bugs. wgpu validates its input in any case.
        descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION | wgpu::InstanceFlags::DEBUG);
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        let asked = options.adapter.clone().or_else(|| std::env::var("TILEGRAD_ADAPTER").ok());
        let adapter = adapter::choose(adapters, asked.as_deref(), backends)?;
        Self::open(&adapter, &options)
    }

    fn open(adapter: &wgpu::Adapter, options: &DeviceOptions) -> Result<Self> {
        let info = adapter.get_info();
        let mut features = wgpu::Features::empty();
        for (wanted, feature) in [
            (options.subgroups, wgpu::Features::SUBGROUP),
            (options.f16, wgpu::Features::SHADER_F16),
            (options.timestamps, wgpu::Features::TIMESTAMP_QUERY),
            (options.timestamps, wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
            (options.pipeline_cache, wgpu::Features::PIPELINE_CACHE),
        ] {
            if wanted {
                features |= feature & adapter.features();
            }
        }
        let limits = match options.default_limits {
            true => wgpu::Limits::default(),
            false => adapter.limits(),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tilegrad"),
            required_features: features,
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| Error::NoAdapter {
                tried: format!("\"{}\" refused to open: {error}", info.name),
                hint: "name another adapter, or update its driver".into(),
            })?;
        let failure = Failure::of(&device);
        let cache_dir = match &options.cache_dir {
            Some(dir) => Some(dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
            None => cache::directory(),
        };
        let has_cache = features.contains(wgpu::Features::PIPELINE_CACHE);
        let cache = has_cache.then(|| PipelineCache::open(&device, &info, cache_dir.as_deref()));
        let caps = adapter::caps(adapter, &info, &device);
        log::info!("{} ({:?}, {:?}): {caps:?}", info.name, info.backend, info.device_type);
        Ok(Device {
            inner: Arc::new(Inner {
                options: options.clone(),
                facts: facts(adapter, features),
                memory: adapter::own_memory(adapter),
                info,
                caps,
                device,
                queue,
                cache_dir,
                cache,
                failure,
                pipelines: Mutex::default(),
                in_flight: Mutex::default(),
                readback: Mutex::default(),
                spare: Mutex::default(),
                rates: Mutex::default(),
                samples: Default::default(),
                made: Made::default(),
            }),
        })
    }

    /// Dedicated memory of a GPU in bytes, if known: the largest of Vulkan's device-local heaps.
    pub fn memory(&self) -> Option<u64> {
        self.inner.memory
    }

    /// Reopens the same adapter after this device was lost. The new device is empty.
    pub fn reopen(&self) -> Result<Self> {
        Device::new(DeviceOptions { adapter: Some(self.inner.info.name.clone()), ..self.inner.options.clone() })
    }

    /// Returns the adapter's name, backend and driver.
    pub fn name(&self) -> String {
        let info = &self.inner.info;
        format!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info).replace(" )", ")")
    }

    /// Properties reported by the adapter: name, vendor, driver, backend, type, subgroup sizes, features, limits, and
    /// the shapes of matrices that subgroups can multiply.
    pub fn facts(&self) -> &Value {
        &self.inner.facts
    }

    /// The capabilities that plans use.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// Counts of the objects created since the device was opened.
    pub fn counters(&self) -> Counters {
        let made = &self.inner.made;
        Counters {
            buffers: made.buffers.load(Ordering::Relaxed),
            bind_groups: made.bind_groups.load(Ordering::Relaxed),
            pipelines: made.pipelines.load(Ordering::Relaxed),
            submissions: made.submissions.load(Ordering::Relaxed),
            waits: made.waits.load(Ordering::Relaxed),
        }
    }

    /// Destroys the device immediately. Every later use fails with [`Error::DeviceLost`].
    pub fn destroy(&self) {
        self.inner.device.destroy();
        self.inner.failure.lose("destroyed by its owner");
    }

    /// Returns the first error since the last call.
    pub fn check(&self) -> Result<()> {
        self.inner.failure.check()
    }

    /// Waits for all submitted work.
    pub fn wait(&self) -> Result<()> {
        self.check()?;
        self.inner.made.waits.fetch_add(1, Ordering::Relaxed);
        let waited = self.inner.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        waited.map(|_| ()).map_err(|error| Error::DeviceLost(error.to_string()))
    }

    /// Waits for the submissions up to `index`, and for none after it.
    pub(super) fn wait_for(&self, index: &wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: None };
        let waited = self.inner.device.poll(wait);
        self.check()?;
        waited.map(|_| ()).map_err(|error| Error::DeviceLost(error.to_string()))
    }

    /// Lets wgpu run the callbacks of finished work, without waiting.
    pub(super) fn poll(&self) -> Result<()> {
        let polled = self.inner.device.poll(wgpu::PollType::Poll);
        self.check()?;
        polled.map(|_| ()).map_err(|error| Error::DeviceLost(error.to_string()))
    }

    /// Staging buffers of small readbacks, kept for reuse.
    pub(super) fn spare(&self) -> &Mutex<Vec<wgpu::Buffer>> {
        &self.inner.spare
    }

    /// Stores measured rates.
    pub(super) fn measured(&self, rates: DeviceRates) {
        *locked(&self.inner.rates) = Some(rates);
    }

    /// Peak rates of the device: the latest of [`super::Peak::measure`], else those of its datasheet if it is a
    /// [known device](known_device), else those of slow devices of its class.
    pub fn rates(&self) -> DeviceRates {
        let of_datasheet = || known_device(&self.inner.info.name).map(|device| device.rates());
        let measured = *locked(&self.inner.rates);
        measured.or_else(of_datasheet).unwrap_or_else(|| DeviceRates::assumed(self.caps().class))
    }

    /// Minimum lengths of samples by the device's clock and by the host's, cached once timing.rs has measured them.
    pub(super) fn samples(&self) -> &[OnceLock<f64>; 2] {
        &self.inner.samples
    }

    pub(super) fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    pub(super) fn raw(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The folder for files kept between runs, if any. It may not exist yet.
    pub fn cache_dir(&self) -> Option<&Path> {
        self.inner.cache_dir.as_deref()
    }

    /// Creates a buffer of `bytes` bytes, rounded up to whole words.
    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.check()?;
        let allowed = self.inner.caps.max_buffer;
        if bytes > allowed {
            let what = format!("buffer \"{label}\"");
            return Err(Error::too_large(what, bytes, allowed, "in one buffer", "use a smaller batch or layer"));
        }
        let scope = self.inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4).next_multiple_of(4),
            usage,
            mapped_at_creation: false,
        });
        self.inner.made.buffers.fetch_add(1, Ordering::Relaxed);
        match pollster::block_on(scope.pop()) {
            Some(_) => Err(Error::OutOfMemory(format!("buffer \"{label}\" of {bytes} bytes"))),
            None => self.check().map(|()| buffer),
        }
    }

    pub(super) fn bind_group(&self, descriptor: &wgpu::BindGroupDescriptor<'_>) -> Result<wgpu::BindGroup> {
        let group = self.inner.device.create_bind_group(descriptor);
        self.inner.made.bind_groups.fetch_add(1, Ordering::Relaxed);
        self.check().map(|()| group)
    }

    /// Returns a kernel's pipeline, created on first use. `checked` keeps the bounds checks, which built-in kernels
    /// don't need.
    pub(super) fn pipeline(&self, kernel: &Kernel, checked: bool) -> Result<Arc<Pipeline>> {
        // Custom kernels are always checked.
        let checked = checked || !kernel.is_builtin();
        let key = (kernel.clone(), checked);
        if let Some(pipeline) = locked(&self.inner.pipelines).get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let pipeline = Arc::new(self.compile(kernel, checked)?);
        self.keep(key, &pipeline);
        Ok(pipeline)
    }

    fn compile(&self, kernel: &Kernel, checked: bool) -> Result<Pipeline> {
        let cache = self.inner.cache.as_ref().map(|kept| &kept.cache);
        let pipeline = Pipeline::new(&self.inner.device, cache, kernel, checked)?;
        self.check().map(|()| pipeline)
    }

    fn keep(&self, key: (Kernel, bool), pipeline: &Arc<Pipeline>) {
        self.inner.made.pipelines.fetch_add(1, Ordering::Relaxed);
        locked(&self.inner.pipelines).insert(key, Arc::clone(pipeline));
    }

    /// Creates the missing pipelines of `kernels` on all cores, and writes the driver's compiled data to the pipeline
    /// cache file. If several fail, the first kernel's error is returned.
    pub(super) fn prepare(&self, kernels: &[&Kernel], checked: bool) -> Result<()> {
        let key = |kernel: &Kernel| (kernel.clone(), checked || !kernel.is_builtin());
        let mut missing: Vec<_> = kernels.iter().map(|kernel| key(kernel)).collect();
        {
            let present = locked(&self.inner.pipelines);
            missing.retain(|key| !present.contains_key(key));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let made: Vec<_> =
            missing.par_iter().map(|(kernel, checked)| self.compile(kernel, *checked).map(Arc::new)).collect();
        for (key, pipeline) in missing.into_iter().zip(made) {
            self.keep(key, &pipeline?);
        }
        if let Some(cache) = &self.inner.cache {
            cache.save();
        }
        Ok(())
    }

    /// Submits the commands of a whole step, or its last part, and waits for the oldest step if too many are in flight.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) -> Result<wgpu::SubmissionIndex> {
        let index = self.submit_part(commands)?;
        let oldest = {
            let mut in_flight = locked(&self.inner.in_flight);
            in_flight.push_back(index.clone());
            if in_flight.len() > IN_FLIGHT { in_flight.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            self.wait_for(&oldest)?;
        }
        self.check().map(|()| index)
    }

    /// Submits commands that are not a step of their own: parts of a step, or a small copy after it. It never waits, so
    /// a step in many parts can have as many steps in flight as a step in one part.
    pub(super) fn submit_part(&self, commands: wgpu::CommandBuffer) -> Result<wgpu::SubmissionIndex> {
        self.check()?;
        let index = self.inner.queue.submit([commands]);
        self.inner.made.submissions.fetch_add(1, Ordering::Relaxed);
        self.check().map(|()| index)
    }

    /// Reads back `bytes` bytes of a buffer after all earlier work.
    pub(super) fn read(&self, from: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        self.check()?;
        let mut readback = locked(&self.inner.readback);
        if readback.as_ref().is_none_or(|buffer| buffer.size() < bytes) {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            *readback = Some(self.buffer("readback", bytes, usage)?);
        }
        let Some(buffer) = readback.as_ref() else {
            return Err(Error::Validation("a readback has no buffer".into()));
        };
        let mut encoder = self.inner.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, offset, buffer, 0, bytes);
        self.submit(encoder.finish())?;
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        let slice = buffer.slice(..bytes);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone if the device failed below.
            let _ = sender.send(result);
        });
        self.wait()?;
        let mapped = pollster::block_on(receiver.receive());
        self.check()?;
        let failed = |reason: String| Error::DeviceLost(format!("a readback failed: {reason}"));
        match mapped {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(failed(error.to_string())),
            None => return Err(failed("the device dropped it".into())),
        }
        let data = slice.get_mapped_range().map_err(|error| failed(error.to_string()))?.to_vec();
        buffer.unmap();
        Ok(data)
    }
}
