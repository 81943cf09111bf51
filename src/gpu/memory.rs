//! Buffers with, for tests, bands of NaN on both sides, so that a read or write out of bounds shows.

use super::Device;
use crate::error::Result;

/// Bytes of each band: the largest alignment of a binding's offset.
const BAND: u64 = 256;
/// The word that fills bands and fresh memory in tests: a NaN of its own.
const POISON: u32 = 0x7fc0_dead;

/// A buffer whose content starts at `offset`.
pub(super) struct Allocation {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

impl Allocation {
    /// Storage of `bytes` bytes, zero; or, if `guarded`, NaN, between two bands of NaN.
    pub fn new(device: &Device, label: &str, bytes: u64, guarded: bool) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let offset = if guarded { BAND } else { 0 };
        let allocation = Allocation { buffer: device.buffer(label, bytes + 2 * offset, usage)?, offset, bytes };
        if guarded {
            allocation.poison(device);
        }
        Ok(allocation)
    }

    /// Fills content and bands with NaN.
    pub fn poison(&self, device: &Device) {
        let words = (self.buffer.size() / 4) as usize;
        device.queue().write_buffer(&self.buffer, 0, bytemuck::cast_slice(&vec![POISON; words]));
    }

    /// Whether both bands are as they were; true of memory without bands.
    pub fn intact(&self, device: &Device) -> Result<bool> {
        if self.offset == 0 {
            return Ok(true);
        }
        let all = device.read(&self.buffer, 0, self.buffer.size())?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&all);
        let end = ((self.offset + self.bytes).div_ceil(4)) as usize;
        let mut bands = words[..(self.offset / 4) as usize].iter().chain(&words[end..]);
        Ok(bands.all(|&word| word == POISON))
    }

    /// The part of the buffer from `offset` of the content on.
    pub fn binding(&self, offset: u64, bytes: u64) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset + offset,
            size: std::num::NonZeroU64::new(bytes),
        })
    }
}

/// The bytes of an adapter's own memory, where it says. What a software adapter says of its heap is no limit: it takes the host's.
#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
pub(super) fn of_device(adapter: &wgpu::Adapter) -> Option<u64> {
    /// VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
    const DEVICE_LOCAL: u32 = 1;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return None;
    }
    // SAFETY: the handles are only asked for properties, while the adapter that owns them is borrowed.
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    let own = heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size);
    // Some cards show a small window into their memory as a heap of its own.
    own.max()
}

/// Where there is no Vulkan nothing says.
#[cfg(any(target_vendor = "apple", target_family = "wasm"))]
pub(super) fn of_device(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}
