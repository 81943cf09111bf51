//! Device capabilities that plans use, as plain data.

/// The kind of device that runs the kernels; it influences the choice of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceClass {
    /// A card with dedicated memory.
    Discrete,
    /// A GPU that shares the host's memory, such as Apple's.
    Integrated,
    /// A rasteriser on the CPU.
    Software,
}

impl DeviceClass {
    /// Number of compute units assumed for a device of this class if it is unknown.
    pub fn compute_units(self) -> u32 {
        match self {
            DeviceClass::Discrete => 64,
            DeviceClass::Integrated => 16,
            DeviceClass::Software => 2,
        }
    }
}

/// Device capabilities that plans use, as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The kind of device.
    pub class: DeviceClass,
    /// Maximum bytes of one storage binding.
    pub max_binding: u64,
    /// Maximum bytes of one buffer.
    pub max_buffer: u64,
    /// Maximum number of workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Maximum bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Maximum number of invocations per workgroup.
    pub max_invocations: u32,
    /// Maximum number of storage buffers per kernel.
    pub max_storage_buffers: u32,
    /// Smallest and largest subgroup size, if the subgroup built-ins may be used.
    pub subgroups: Option<(u32, u32)>,
    /// Number of units that run workgroups independently: streaming multiprocessors, compute units, Xe cores, GPU
    /// cores.
    pub compute_units: u32,
    /// Number of 32-bit registers available to an invocation.
    pub registers: u32,
    /// Number of f32 multiply-adds that the device computes in the time of one byte of memory traffic.
    pub multiply_adds_per_byte: u32,
    /// True on NVIDIA's GPUs, the only ones on which tiles have been measured against each other.
    pub nvidia: bool,
}

/// [`Caps::multiply_adds_per_byte`] of a device of which nothing is known: between cards for servers (10) and for games
/// (40).
pub(crate) const MULTIPLY_ADDS_PER_BYTE: u32 = 20;

impl Caps {
    /// WebGPU's default limits, which every device meets.
    pub fn webgpu(class: DeviceClass) -> Self {
        Caps {
            class,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            max_workgroup_memory: 16 << 10,
            max_invocations: 256,
            max_storage_buffers: 8,
            subgroups: None,
            compute_units: class.compute_units(),
            registers: 255,
            multiply_adds_per_byte: MULTIPLY_ADDS_PER_BYTE,
            nvidia: false,
        }
    }

    /// True if values can be shuffled among exactly eight lanes on a device that is no GPU. There the shuffle saves the
    /// most expensive loads, and its kernels are written for eight lanes.
    pub fn shuffles_eight_lanes(&self) -> bool {
        self.class == DeviceClass::Software && self.subgroups == Some((8, 8))
    }
}
