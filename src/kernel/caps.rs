//! What a plan must know of a device, as plain data.

/// What kind of device runs the kernels; tiles are chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceClass {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory, Apple's among them.
    Integrated,
    /// A rasteriser on the CPU.
    Software,
}

impl DeviceClass {
    /// How many compute units a device of the class has if nobody says.
    pub fn compute_units(self) -> u32 {
        match self {
            DeviceClass::Discrete => 64,
            DeviceClass::Integrated => 16,
            DeviceClass::Software => 2,
        }
    }
}

/// What a plan must know of a device, as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The kind of device.
    pub class: DeviceClass,
    /// Bytes of one storage binding.
    pub max_binding: u64,
    /// Bytes of one buffer.
    pub max_buffer: u64,
    /// Workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// Storage buffers of one kernel.
    pub max_storage_buffers: u32,
    /// Smallest and largest subgroup, where the built-ins may be used.
    pub subgroups: Option<(u32, u32)>,
    /// Parts that run workgroups independently of one another: streaming multiprocessors, compute units, Xe cores, GPU cores.
    pub compute_units: u32,
    /// Numbers of 32 bits that an invocation can hold in registers.
    pub registers: u32,
}

impl Caps {
    /// WebGPU's default limits: what every device allows.
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
        }
    }

    /// Whether values can be shuffled among exactly eight lanes on a device that is no GPU: there the shuffle saves the
    /// loads that cost most, and eight lanes are what its kernels are written for.
    pub fn shuffles_eight_lanes(&self) -> bool {
        self.class == DeviceClass::Software && self.subgroups == Some((8, 8))
    }
}
