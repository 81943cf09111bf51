//! Buffers, optionally (for tests) with guard bands of NaN on both sides that expose reads and writes out of bounds.

use super::Device;
use crate::error::Result;

/// Bytes of the guard band before the content, equal to the largest alignment of a binding's offset.
const BEFORE: u64 = 256;
/// Bytes of the guard band after the content, which is bound with it. It covers the largest overrun of a kernel: a tile
/// of 128 rows below the last row of a matrix of 256 columns.
const BEHIND: u64 = 128 << 10;
/// The word that fills guard bands and fresh memory in tests: a NaN with a recognisable payload.
const POISON: u32 = 0x7fc0_dead;

/// A buffer whose content starts at `offset`.
pub(super) struct Allocation {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
    /// Bytes of the guard band after the content.
    behind: u64,
}

impl Allocation {
    /// Allocates `bytes` bytes of zeroed storage.
    pub fn new(device: &Device, label: &str, bytes: u64) -> Result<Self> {
        Self::between(device, label, bytes, 0, 0)
    }

    /// Allocates `bytes` bytes of storage filled with NaN, between two guard bands of NaN.
    pub fn guarded(device: &Device, label: &str, bytes: u64) -> Result<Self> {
        // Content of the maximum binding size leaves no room to bind a guard band after it.
        let behind = BEHIND.min(device.caps().max_binding.saturating_sub(bytes.next_multiple_of(4))) & !3;
        let allocation = Self::between(device, label, bytes, BEFORE, behind)?;
        allocation.poison(device);
        Ok(allocation)
    }

    fn between(device: &Device, label: &str, bytes: u64, before: u64, behind: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let all = before + bytes.next_multiple_of(4) + behind;
        Ok(Allocation { buffer: device.buffer(label, all, usage)?, offset: before, bytes, behind })
    }

    /// Fills the content and the guard bands with NaN.
    pub fn poison(&self, device: &Device) {
        let words = (self.buffer.size() / 4) as usize;
        device.queue().write_buffer(&self.buffer, 0, bytemuck::cast_slice(&vec![POISON; words]));
    }

    /// Fills the content with zeros.
    pub fn clear(&self, device: &Device) {
        let zeros = vec![0; self.bytes.next_multiple_of(4) as usize];
        device.queue().write_buffer(&self.buffer, self.offset, &zeros);
    }

    /// Offset of the first changed guard band byte, counted from the start of the content; `None` for memory without
    /// guard bands.
    pub fn breach(&self, device: &Device) -> Result<Option<i64>> {
        if self.offset == 0 {
            return Ok(None);
        }
        let end = self.offset + self.bytes.next_multiple_of(4);
        for (first, bytes) in [(0, self.offset), (end, self.behind)] {
            if bytes > 0 {
                let words: Vec<u32> = bytemuck::pod_collect_to_vec(&device.read(&self.buffer, first, bytes)?);
                if let Some(at) = words.iter().position(|&word| word != POISON) {
                    return Ok(Some((first + 4 * at as u64) as i64 - self.offset as i64));
                }
            }
        }
        Ok(None)
    }

    /// Binds part of the content, from `offset`. A part that ends with the content extends over the guard band after
    /// it, so that the kernel's accesses there really happen and are neither discarded nor clamped.
    pub fn binding(&self, offset: u64, bytes: u64) -> wgpu::BindingResource<'_> {
        let is_last = offset + bytes >= self.bytes;
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset + offset,
            size: std::num::NonZeroU64::new(if is_last { bytes.next_multiple_of(4) + self.behind } else { bytes }),
        })
    }
}
