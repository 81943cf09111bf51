//! Number of compute units of an adapter: from the driver where Vulkan has a query for it, else from a table of known
//! devices.

use crate::plan::DeviceRates;

/// A device of `devices.tsv`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownDevice {
    /// The part of the adapter's name that identifies it.
    pub name: &'static str,
    /// Number of streaming multiprocessors, compute units, Xe cores or GPU cores.
    pub compute_units: u32,
    /// Datasheet rate of f32 multiply-adds, two operations each, in 10¹² operations per second.
    pub tflops: f64,
    /// Datasheet memory bandwidth, in 10⁹ bytes per second.
    pub gigabytes: f64,
}

impl KnownDevice {
    /// Number of multiply-adds in the time of one byte of memory traffic, rounded.
    pub fn multiply_adds_per_byte(&self) -> u32 {
        let DeviceRates { multiply_adds, bytes } = self.rates();
        (multiply_adds / bytes).round().max(1.0) as u32
    }

    /// Its rates; two operations are one multiply-add.
    pub fn rates(&self) -> DeviceRates {
        DeviceRates { multiply_adds: 1e12 * self.tflops / 2.0, bytes: 1e9 * self.gigabytes }
    }
}

/// The table of known devices.
pub fn known_devices() -> impl Iterator<Item = KnownDevice> {
    include_str!("devices.tsv").lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let name = fields.next().filter(|name| !name.starts_with('#'))?;
        let mut number = || fields.next()?.parse().ok();
        let (units, tflops, gigabytes) = (number()?, number()?, number()?);
        Some(KnownDevice { name, compute_units: units as u32, tflops, gigabytes })
    })
}

/// The known device for an adapter's name: the longest of the table's names that occur in it as whole words.
pub fn known_device(adapter: &str) -> Option<KnownDevice> {
    let plain = |name: &str| name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let adapter = plain(adapter);
    let words: Vec<&str> =
        adapter.split(|c: char| !(c.is_alphanumeric() || c == '-')).filter(|word| !word.is_empty()).collect();
    let words = format!(" {} ", words.join(" "));
    let is_in = |device: &KnownDevice| words.contains(&format!(" {} ", plain(device.name)));
    known_devices().filter(is_in).max_by_key(|device| device.name.len())
}

/// Number of compute units reported by the driver.
#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
pub(super) fn of_driver(adapter: &wgpu::Adapter) -> Option<u32> {
    use ash::vk;
    // SAFETY: the handles are only queried for properties, while the adapter that owns them is borrowed; a struct is
    // only chained if the device knows its extension.
    unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let (instance, device) = (adapter.shared_instance().raw_instance(), adapter.raw_physical_device());
        let properties = instance.get_physical_device_properties(device);
        // The query itself needs Vulkan 1.1.
        if vk::api_version_major(properties.api_version) == 1 && vk::api_version_minor(properties.api_version) < 1 {
            return None;
        }
        let extensions = instance.enumerate_device_extension_properties(device).ok()?;
        let has = |name| extensions.iter().any(|extension| extension.extension_name_as_c_str() == Ok(name));
        let mut nvidia = vk::PhysicalDeviceShaderSMBuiltinsPropertiesNV::default();
        let mut amd = vk::PhysicalDeviceShaderCorePropertiesAMD::default();
        let mut amd_active = vk::PhysicalDeviceShaderCoreProperties2AMD::default();
        let mut all = vk::PhysicalDeviceProperties2::default();
        if has(ash::nv::shader_sm_builtins::NAME) {
            all = all.push_next(&mut nvidia);
        }
        if has(ash::amd::shader_core_properties::NAME) {
            all = all.push_next(&mut amd);
        }
        if has(ash::amd::shader_core_properties2::NAME) {
            all = all.push_next(&mut amd_active);
        }
        instance.get_physical_device_properties2(device, &mut all);
        let of_amd = amd.shader_engine_count * amd.shader_arrays_per_engine_count * amd.compute_units_per_shader_array;
        // AMD reports the existing units in one struct and the active ones in another.
        [nvidia.shader_sm_count, amd_active.active_compute_unit_count, of_amd].into_iter().find(|&count| count > 0)
    }
}

/// Other platforms have no query.
#[cfg(any(target_vendor = "apple", target_family = "wasm"))]
pub(super) fn of_driver(_adapter: &wgpu::Adapter) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_names() {
        for (adapter, name, units) in [
            ("NVIDIA GeForce RTX 3060", "RTX 3060", 28),
            ("NVIDIA GeForce RTX 3060 Ti", "RTX 3060 Ti", 38),
            ("NVIDIA GeForce RTX 3060 Laptop GPU", "RTX 3060 Laptop", 30),
            ("NVIDIA H100 80GB HBM3", "H100", 132),
            ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", 108),
            ("NVIDIA A10", "A10", 72),
            ("AMD Radeon RX 6800 XT (RADV NAVI21)", "RX 6800 XT", 72),
            ("Intel(R) Arc(tm) A770 Graphics (DG2)", "Arc A770", 32),
            ("Intel(R) Iris(R) Xe Graphics (TGL GT2)", "Iris Xe", 6),
            ("Intel(R) Arc(TM) Graphics", "Arc Graphics", 8),
            ("Apple M2 Pro", "Apple M2 Pro", 19),
        ] {
            assert!(known_device(adapter).is_some_and(|device| device.rates().multiply_adds > device.rates().bytes));
            let known = known_device(adapter).map(|device| (device.name, device.compute_units));
            assert_eq!(known, Some((name, units)), "{adapter}");
        }
        for adapter in ["llvmpipe (LLVM 15.0.6, 256 bits)", "NVIDIA A1000", "Apple M29", ""] {
            assert_eq!(known_device(adapter), None, "{adapter}");
        }
    }

    /// Also on RADV's null device, where present, which answers but has no compute units.
    #[test]
    fn drivers_are_asked_without_harm() {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        let instance = wgpu::Instance::new(descriptor);
        for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN)) {
            let (name, units) = (adapter.get_info().name, of_driver(&adapter));
            println!("{name}: {units:?} compute units");
            assert!(units.is_none_or(|units| (1..10_000).contains(&units)), "{name}");
            assert!(!name.contains("llvmpipe") || units.is_none(), "it has no extension of a card's");
        }
    }

    #[test]
    fn the_table_is_whole() {
        let lines = include_str!("devices.tsv").lines().filter(|line| !line.starts_with('#')).count();
        let mut names: Vec<&str> = known_devices().map(|device| device.name).collect();
        assert_eq!(names.len(), lines);
        assert!(
            known_devices().all(|device| device.compute_units > 0 && device.tflops > 0.1 && device.gigabytes > 10.0)
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), lines, "a device is there twice");
    }
}
