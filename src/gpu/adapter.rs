//! Adapter selection, and the capabilities of an adapter that plans use.

use super::units;
use crate::error::{Error, Result};
use crate::kernel::{Caps, DeviceClass, MULTIPLY_ADDS_PER_BYTE};

/// Chooses the best adapter whose name contains `asked`: discrete before integrated before software.
pub(super) fn choose(
    adapters: Vec<wgpu::Adapter>,
    asked: Option<&str>,
    backends: wgpu::Backends,
) -> Result<wgpu::Adapter> {
    let names: Vec<String> = adapters.iter().map(|adapter| format!("\"{}\"", adapter.get_info().name)).collect();
    let fits = |adapter: &wgpu::Adapter| {
        asked.is_none_or(|name| adapter.get_info().name.to_lowercase().contains(&name.to_lowercase()))
    };
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    };
    let best = adapters.into_iter().filter(fits).min_by_key(rank);
    best.ok_or_else(|| {
        let found = if names.is_empty() { "found none".into() } else { format!("found {}", names.join(", ")) };
        let backend = std::env::var("WGPU_BACKEND").unwrap_or_default();
        match asked {
            _ if backends.is_empty() => Error::NoAdapter {
                tried: format!("WGPU_BACKEND \"{backend}\" names no backend"),
                hint: "use vulkan, metal, dx12 or gl".into(),
            },
            Some(name) if !names.is_empty() => Error::NoAdapter {
                tried: format!("looked for \"{name}\" on {backends:?}, {found}"),
                hint: "ask for a part of one of these names".into(),
            },
            _ => Error::NoAdapter { tried: format!("looked on {backends:?}, {found}"), hint: install_hint().into() },
        }
    })
}

fn install_hint() -> &'static str {
    if cfg!(target_os = "linux") {
        "install your GPU's Vulkan driver, or Mesa's software one (Debian and Ubuntu: mesa-vulkan-drivers; Fedora: \
         mesa-vulkan-drivers; Arch: vulkan-swrast)"
    } else if cfg!(target_os = "windows") {
        "install your GPU's driver; DX12 needs Windows 10 or later"
    } else {
        "Metal needs macOS 11 or later"
    }
}

fn class(device_type: wgpu::DeviceType) -> DeviceClass {
    match device_type {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => DeviceClass::Discrete,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Other => DeviceClass::Integrated,
        wgpu::DeviceType::Cpu => DeviceClass::Software,
    }
}

pub(super) fn caps(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo, device: &wgpu::Device) -> Caps {
    let limits = device.limits();
    // OpenGL does not report that it is a rasteriser. Mesa's are recognised by name.
    let software = ["llvmpipe", "softpipe", "swiftshader"].iter().any(|name| info.name.to_lowercase().contains(name));
    let has_subgroups = device.features().contains(wgpu::Features::SUBGROUP);
    let class = if software { DeviceClass::Software } else { class(info.device_type) };
    let known = units::known_device(&info.name).filter(|_| class != DeviceClass::Software);
    let compute_units = match class {
        // Plans must not depend on the number of threads: they are the same on every machine.
        DeviceClass::Software => None,
        _ => units::of_driver(adapter).or(known.map(|device| device.compute_units)),
    };
    Caps {
        class,
        // Kernels index elements with 32 bits.
        max_binding: limits.max_storage_buffer_binding_size.min(u64::from(u32::MAX) & !255),
        max_buffer: limits.max_buffer_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        subgroups: has_subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        compute_units: compute_units.unwrap_or(class.compute_units()),
        registers: registers(info),
        multiply_adds_per_byte: known.map_or(MULTIPLY_ADDS_PER_BYTE, |device| device.multiply_adds_per_byte()),
        nvidia: info.vendor == NVIDIA && class != DeviceClass::Software,
    }
}

/// Dedicated memory of an adapter in bytes, if known. A software adapter's heap is host memory, so its size is not a
/// limit.
#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
pub(super) fn own_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
    const DEVICE_LOCAL: u32 = 1;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return None;
    }
    // SAFETY: the handles are only queried for properties, while the adapter that owns them is borrowed.
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    let own = heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size);
    // Some cards report a small window into their memory as a separate heap.
    own.max()
}

/// Unknown where Vulkan is not available.
#[cfg(any(target_vendor = "apple", target_family = "wasm"))]
pub(super) fn own_memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Vendor number of NVIDIA.
const NVIDIA: u32 = 0x10de;

/// Number of 32-bit registers that an invocation can use when 16 invocations run together.
fn registers(info: &wgpu::AdapterInfo) -> u32 {
    const INTEL: u32 = 0x8086;
    const APPLE: u32 = 0x106b;
    const ARM: u32 = 0x13b5;
    const QUALCOMM: u32 = 0x5143;
    match info.vendor {
        // 128 registers of 32 bytes; 64 bytes since the second Xe generation.
        INTEL if info.subgroup_min_size < 16 => 64,
        INTEL | APPLE | QUALCOMM => 128,
        ARM => 64,
        _ => 255,
    }
}
