//! Buffers with, for tests, bands of NaN on both sides, so that a read or write out of bounds shows.

use super::Device;
use crate::error::Result;

/// Bytes of the band before a content: the largest alignment of a binding's offset.
const BEFORE: u64 = 256;
/// Bytes of the band behind it, which are bound with it: by how much a kernel can miss, which is a tile of 128 rows below the
/// last row of a matrix of 256 columns.
const BEHIND: u64 = 128 << 10;
/// The word that fills bands and fresh memory in tests: a NaN of its own.
const POISON: u32 = 0x7fc0_dead;

/// A buffer whose content starts at `offset`.
pub(super) struct Allocation {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
    /// Bytes of the band behind the content.
    behind: u64,
}

impl Allocation {
    /// Storage of `bytes` bytes, all zero.
    pub fn new(device: &Device, label: &str, bytes: u64) -> Result<Self> {
        Self::between(device, label, bytes, 0, 0)
    }

    /// Storage of `bytes` bytes that starts as NaN and lies between two bands of NaN.
    pub fn guarded(device: &Device, label: &str, bytes: u64) -> Result<Self> {
        // A content that is as large as a binding may be has no band behind it that could be bound.
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

    /// Fills content and bands with NaN.
    pub fn poison(&self, device: &Device) {
        let words = (self.buffer.size() / 4) as usize;
        device.queue().write_buffer(&self.buffer, 0, bytemuck::cast_slice(&vec![POISON; words]));
    }

    /// Fills the content with zeros.
    pub fn clear(&self, device: &Device) {
        let zeros = vec![0; self.bytes.next_multiple_of(4) as usize];
        device.queue().write_buffer(&self.buffer, self.offset, &zeros);
    }

    /// The first byte of a band that is not as it was, counted from the beginning of the content; none of memory without bands.
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

    /// The part of the buffer from `offset` of the content on; where it ends with the content it goes on over the band behind it,
    /// so that what a kernel does there is done, and neither discarded nor moved to the last element.
    pub fn binding(&self, offset: u64, bytes: u64) -> wgpu::BindingResource<'_> {
        let is_last = offset + bytes >= self.bytes;
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset + offset,
            size: std::num::NonZeroU64::new(if is_last { bytes.next_multiple_of(4) + self.behind } else { bytes }),
        })
    }
}
