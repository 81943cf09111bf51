//! Data kept between steps and shared by the sessions of a run: parameters, gradients, momentum, states, data sets.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::Allocation;
use super::{Device, Readback};
use crate::error::{Error, Quantity, Result};
use crate::graph::Tape;
use crate::kernel::{FlatBuffer, Pieces};
use crate::plan::{Buffer, ParameterLayout, Placement, Span};
use crate::shape::DType;
use crate::tensor::{Role, Tensor};
use crate::twin::Value;

/// Bytes of a data set on their way to the device.
const STAGED: usize = 16 << 20;

/// Rows of `row` bytes, each padded with zeros to `padded`.
fn whole_words(bytes: &[u8], row: usize, padded: usize) -> Cow<'_, [u8]> {
    if row == padded {
        return Cow::Borrowed(bytes);
    }
    let mut words = vec![0; bytes.len() / row.max(1) * padded];
    words.chunks_exact_mut(padded).zip(bytes.chunks_exact(row)).for_each(|(to, from)| to[..row].copy_from_slice(from));
    Cow::Owned(words)
}

/// Buffers that outlive a step, by the names that plans use.
pub struct Store {
    device: Device,
    layout: Arc<ParameterLayout>,
    guarded: bool,
    buffers: Mutex<HashMap<Buffer, Arc<Allocation>>>,
    /// Names of the data sets uploaded so far.
    resident: Mutex<HashSet<String>>,
}

impl Store {
    /// Creates flat buffers for the parameters of `layout`, all zero.
    pub fn new(device: &Device, layout: Arc<ParameterLayout>) -> Result<Self> {
        Self::with_bands(device, layout, false)
    }

    /// Creates a store for tests: every buffer lies between guard bands of NaN, and bindings that reach its end extend
    /// over the second. [`crate::gpu::Session::breach`] reports writes to a band.
    pub fn guarded(device: &Device, layout: Arc<ParameterLayout>) -> Result<Self> {
        Self::with_bands(device, layout, true)
    }

    fn with_bands(device: &Device, layout: Arc<ParameterLayout>, guarded: bool) -> Result<Self> {
        let store =
            Store { device: device.clone(), layout, guarded, buffers: Mutex::default(), resident: Mutex::default() };
        for group in 0..store.layout.groups() {
            for (piece, &bytes) in store.layout.pieces(group).iter().enumerate() {
                for buffer in store.layout.buffers() {
                    if store.layout.has(buffer, group) {
                        let allocation = store.allocate(&format!("{buffer:?} {group}.{piece}"), bytes)?;
                        store.insert(Buffer::Flat { buffer, group, piece }, allocation);
                    }
                }
            }
        }
        Ok(store)
    }

    /// Allocates `bytes` zeroed bytes.
    fn allocate(&self, label: &str, bytes: u64) -> Result<Allocation> {
        if !self.guarded {
            return Allocation::new(&self.device, label, bytes);
        }
        let allocation = Allocation::guarded(&self.device, label, bytes)?;
        allocation.clear(&self.device);
        Ok(allocation)
    }

    /// A buffer with a write beyond its end or start, its size in bytes, and the position counted from its start.
    pub(super) fn breach(&self) -> Result<Option<(Buffer, u64, i64)>> {
        let buffers: Vec<_> = {
            let buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
            buffers.iter().map(|(key, allocation)| (key.clone(), Arc::clone(allocation))).collect()
        };
        for (key, allocation) in buffers {
            if let Some(at) = allocation.breach(&self.device)? {
                return Ok(Some((key, allocation.bytes, at)));
            }
        }
        Ok(None)
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The layout of the parameters.
    pub fn layout(&self) -> &Arc<ParameterLayout> {
        &self.layout
    }

    /// Initialises every parameter and buffer of `tape`, the parameters under `seed`.
    pub fn initialise(&self, tape: &Tape, seed: u64) -> Result<()> {
        for id in tape.parameters() {
            let tensor = tape.tensor(id);
            if let Role::Parameter { init, .. } = tensor.role {
                self.set_parameter(&tensor.name, &init.values(seed, &tensor.name, tensor.shape.len()))?;
            }
        }
        for id in tape.buffers() {
            self.declare_buffer(tape.tensor(id), true)?;
        }
        Ok(())
    }

    /// Allocates a model's buffer and sets its initial value, if it is new or `again` is set.
    pub(super) fn declare_buffer(&self, tensor: &Tensor, again: bool) -> Result<()> {
        let Role::Buffer { init } = tensor.role else { return Ok(()) };
        let key = Buffer::State(tensor.name.clone());
        if self.find(&key).is_err() {
            self.insert(key, self.allocate(&tensor.name, tensor.bytes())?);
        } else if !again {
            return Ok(());
        }
        self.set_buffer(&tensor.name, &Value::filled(tensor.dtype, tensor.shape.len(), init))
    }

    /// Sets the model's buffer called `name`.
    pub fn set_buffer(&self, name: &str, values: &Value<f32>) -> Result<()> {
        let allocation = self.find(&Buffer::State(name.into()))?;
        let bytes: &[u8] = match values {
            Value::Real(values) => bytemuck::cast_slice(values),
            Value::Int(values) => bytemuck::cast_slice(values),
            Value::Bytes(values) => values,
        };
        if bytes.len() as u64 != allocation.bytes {
            let error = Error::shape("buffer", name, format!("has {} bytes, got {}", allocation.bytes, bytes.len()));
            return Err(error.between(Quantity::Bytes(allocation.bytes), Quantity::Bytes(bytes.len() as u64)));
        }
        self.device.queue().write_buffer(&allocation.buffer, allocation.offset, bytes);
        self.device.check()
    }

    /// Reads a model's buffer. `tensor` gives its name and type.
    pub fn buffer_values(&self, tensor: &Tensor) -> Result<Value<f32>> {
        let allocation = self.find(&Buffer::State(tensor.name.clone()))?;
        let bytes = self.device.read(&allocation.buffer, allocation.offset, allocation.bytes)?;
        Ok(match tensor.dtype {
            DType::F32 => Value::Real(bytemuck::pod_collect_to_vec(&bytes)),
            DType::I32 => Value::Int(bytemuck::pod_collect_to_vec(&bytes)),
            DType::U8 => Value::Bytes(bytes.into()),
        })
    }

    /// Reads a parameter in PyTorch's order.
    pub fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        self.read_flat(FlatBuffer::Parameter, name)
    }

    /// Sets a parameter from values in PyTorch's order.
    pub fn set_parameter(&self, name: &str, values: &[f32]) -> Result<()> {
        self.write_flat(FlatBuffer::Parameter, name, values)
    }

    /// Reads the gradient of a parameter from the last backward stage.
    pub fn gradient(&self, name: &str) -> Result<Vec<f32>> {
        self.read_flat(FlatBuffer::Gradient, name)
    }

    /// Replaces the gradient of a parameter before the update stage.
    pub fn set_gradient(&self, name: &str, values: &[f32]) -> Result<()> {
        self.write_flat(FlatBuffer::Gradient, name, values)
    }

    /// Reads the optimizer's state `buffer` for a parameter, in PyTorch's order; zeros before the first update that
    /// creates it.
    pub fn optimizer_buffer(&self, parameter: &str, buffer: &str) -> Result<Vec<f32>> {
        self.layout.placement(parameter)?;
        self.read_flat(self.layout.optimizer_buffer(buffer)?, parameter)
    }

    /// Sets the optimizer's state `buffer` for a parameter.
    pub fn set_optimizer_buffer(&self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()> {
        self.layout.placement(parameter)?;
        self.write_flat(self.layout.optimizer_buffer(buffer)?, parameter, values)
    }

    /// Reads the state called `name`.
    pub fn state(&self, name: &str) -> Result<Vec<f32>> {
        let allocation = self.find(&Buffer::State(name.into()))?;
        Ok(bytemuck::pod_collect_to_vec(&self.device.read(&allocation.buffer, allocation.offset, allocation.bytes)?))
    }

    /// Requests the state called `name` after all work submitted so far, as bytes, without waiting.
    pub fn request_state(&self, name: &str) -> Result<Readback> {
        let allocation = self.find(&Buffer::State(name.into()))?;
        Readback::new(&self.device, &allocation.buffer, allocation.offset, allocation.bytes)
    }

    /// Clears the state called `name` after all submitted work.
    pub fn clear_state(&self, name: &str) -> Result<()> {
        // A state that no session has created yet starts at zero anyway.
        let Ok(allocation) = self.find(&Buffer::State(name.into())) else { return Ok(()) };
        let zeros = vec![0; allocation.bytes as usize];
        self.device.queue().write_buffer(&allocation.buffer, allocation.offset, &zeros);
        self.device.check()
    }

    /// Sets the state called `name` to these bits after all submitted work, even if no session has created it yet.
    pub fn set_state(&self, name: &str, values: &[f32]) -> Result<()> {
        let key = Buffer::State(name.into());
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let span = Span { buffer: key, offset: 0, bytes: bytes.len() as u64 };
        let allocation = self.buffer(&span)?;
        if allocation.bytes != span.bytes {
            let message = format!("has {} values, got {}", allocation.bytes / 4, values.len());
            return Err(Error::shape("state", name, message).between(allocation.bytes as usize / 4, values.len()));
        }
        self.device.queue().write_buffer(&allocation.buffer, allocation.offset, bytes);
        self.device.check()
    }

    /// Uploads a data set of `rows` rows of equal length under `name`, for sessions created before or after. On the device
    /// each row is padded to whole words.
    ///
    /// What is on its way takes little host memory: the next part is copied when the one before has arrived.
    pub fn set_resident(&self, name: &str, rows: usize, bytes: &[u8]) -> Result<()> {
        let row = bytes.len() / rows.max(1);
        let padded = row.next_multiple_of(4);
        let caps = self.device.caps();
        let limit = caps.max_binding.min(caps.max_buffer);
        let pieces = Pieces::cut(rows, padded as u64, limit).ok_or_else(|| {
            let what = format!("an item of data set \"{name}\"");
            Error::too_large(what, padded as u64, limit, "in one binding", "use smaller images")
        })?;
        let at_once = (STAGED / padded.max(1)).max(1);
        for (piece, (first, count)) in pieces.rows().enumerate() {
            let allocation = self.place_of(name, piece, (count * padded) as u64)?;
            for begin in (0..count).step_by(at_once) {
                let end = count.min(begin + at_once);
                let part = &bytes[(first + begin) * row..(first + end) * row];
                let offset = allocation.offset + (begin * padded) as u64;
                self.device.queue().write_buffer(&allocation.buffer, offset, &whole_words(part, row, padded));
                if part.len() * 2 > STAGED {
                    self.device.queue().submit([]);
                    self.device.wait()?;
                }
            }
        }
        self.resident.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
        self.device.check()
    }

    /// Returns the memory of a piece of a data set. It is the memory that sessions have already bound or, if the size
    /// has changed, new memory.
    fn place_of(&self, name: &str, piece: usize, bytes: u64) -> Result<Arc<Allocation>> {
        let key = Buffer::Resident { name: name.into(), piece };
        match self.find(&key) {
            Ok(allocation) if allocation.bytes == bytes => return Ok(allocation),
            Ok(allocation) if !self.is_resident(name) => {
                let message = format!("has {bytes} bytes, a session was made for {}", allocation.bytes);
                return Err(Error::name(name, message));
            }
            _ => {}
        }
        self.insert(key.clone(), self.allocate(name, bytes)?);
        self.find(&key)
    }

    /// True if the data set `name` has been uploaded.
    pub(super) fn is_resident(&self, name: &str) -> bool {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// The buffer of a span that is kept between steps. States, constants and data sets are created on first use.
    pub(super) fn buffer(&self, span: &Span) -> Result<Arc<Allocation>> {
        match &span.buffer {
            Buffer::State(_) | Buffer::Constant(_) | Buffer::Resident { .. } if self.find(&span.buffer).is_err() => {
                let allocation = self.allocate(&format!("{:?}", span.buffer), span.bytes)?;
                if let Buffer::Constant(bits) = span.buffer {
                    self.device.queue().write_buffer(&allocation.buffer, allocation.offset, &bits.to_le_bytes());
                }
                self.insert(span.buffer.clone(), allocation);
            }
            _ => {}
        }
        self.find(&span.buffer)
    }

    fn insert(&self, key: Buffer, allocation: Allocation) {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(allocation));
    }

    fn find(&self, key: &Buffer) -> Result<Arc<Allocation>> {
        let buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.get(key).cloned().ok_or_else(|| match key {
            Buffer::State(name) => Error::name(name, "no session has a state of that name"),
            Buffer::Resident { name, .. } => Error::name(name, "no data set of that name is on the device"),
            other => Error::name(format!("{other:?}"), "the parameter store has no such buffer"),
        })
    }

    fn chunks<'a>(
        &'a self,
        buffer: FlatBuffer,
        placement: &'a Placement,
    ) -> impl Iterator<Item = Result<(Arc<Allocation>, u64, u64)>> + 'a {
        placement.chunks.iter().map(move |&(piece, offset, bytes)| {
            let allocation = self.find(&Buffer::Flat { buffer, group: placement.group, piece })?;
            Ok((Arc::clone(&allocation), allocation.offset + offset, bytes))
        })
    }

    fn read_flat(&self, buffer: FlatBuffer, name: &str) -> Result<Vec<f32>> {
        let placement = self.layout.placement(name)?;
        let mut memory: Vec<f32> = Vec::with_capacity(placement.shape.len());
        for chunk in self.chunks(buffer, placement) {
            let (allocation, offset, bytes) = chunk?;
            memory.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&self.device.read(
                &allocation.buffer,
                offset,
                bytes,
            )?));
        }
        Ok(placement.layout.to_logical(&placement.shape, &memory))
    }

    fn write_flat(&self, buffer: FlatBuffer, name: &str, values: &[f32]) -> Result<()> {
        let placement = self.layout.placement(name)?;
        if values.len() != placement.shape.len() {
            let message = format!("has shape {}, got {} values", placement.shape, values.len());
            return Err(Error::shape("parameter", name, message).between(&placement.shape, values.len()));
        }
        let memory = placement.layout.to_memory(&placement.shape, values);
        let mut rest = bytemuck::cast_slice::<f32, u8>(&memory);
        for chunk in self.chunks(buffer, placement) {
            let (allocation, offset, bytes) = chunk?;
            let (part, remaining) = rest.split_at(bytes as usize);
            self.device.queue().write_buffer(&allocation.buffer, offset, part);
            rest = remaining;
        }
        self.device.check()
    }
}
