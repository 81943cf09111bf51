//! Four devices as data, and the networks that are planned for them, so that a plan can be looked at without a card.

use std::sync::Arc;

use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::plan::{ParameterLayout, Plan};

#[path = "../../benches/suite/networks.rs"]
mod networks;
pub use networks::Network;

/// A device that people train on.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its maker's name for it.
    pub name: &'static str,
    /// What wgpu 30 makes of the limits that its driver reports.
    pub caps: Caps,
}

/// What wgpu 30 lets a kernel bind of a buffer on Vulkan, whose drivers here all report 2³² - 1 bytes: below 2³¹, whole words.
const VULKAN_BINDING: u64 = (1 << 31) - 4;

/// A buffer of wgpu 30 on Vulkan under Linux unless the card is NVIDIA's.
const VULKAN_BUFFER: u64 = (1 << 31) - 1;

/// Storage buffers of a kernel where the driver's limit is in the millions, which no kernel comes near.
const MANY: u32 = 1 << 20;

/// The four. Vulkan's limits are those of the Linux drivers; all have 65,535 workgroups along a dimension.
pub fn cards() -> [Card; 4] {
    [h100(), rx6800xt(), b580(), m2()]
}

/// NVIDIA H100 SXM. maxStorageBufferRange 4294967295 (wgpu's issue 8105 quotes vulkaninfo); the rest is what NVIDIA's Vulkan
/// driver reports for all its cards since Volta: 48 KiB of workgroup memory, allocations below 4 GiB.
pub fn h100() -> Card {
    let caps = Caps {
        class: DeviceClass::Discrete,
        max_binding: VULKAN_BINDING,
        max_buffer: 0xffe0_0000,
        max_workgroups: 65_535,
        max_workgroup_memory: 48 << 10,
        max_invocations: 1024,
        max_storage_buffers: MANY,
        subgroups: Some((32, 32)),
        compute_units: 132,
        registers: 255,
        multiply_adds_per_byte: 10,
        nvidia: true,
    };
    Card { name: "H100", caps }
}

/// AMD Radeon RX 6800 XT, Navi 21. Every limit was read through wgpu from RADV itself (Mesa 22.3.6, the null device navi21).
pub fn rx6800xt() -> Card {
    let caps = Caps {
        class: DeviceClass::Discrete,
        max_binding: VULKAN_BINDING,
        max_buffer: VULKAN_BUFFER,
        max_workgroups: 65_535,
        max_workgroup_memory: 64 << 10,
        max_invocations: 1024,
        max_storage_buffers: MANY,
        subgroups: Some((32, 64)),
        compute_units: 72,
        registers: 255,
        multiply_adds_per_byte: 20,
        nvidia: false,
    };
    Card { name: "RX 6800 XT", caps }
}

/// Intel Arc B580, Battlemage. Mesa's driver: workgroup memory as ggml's Vulkan backend prints it for this chip under Mesa
/// 26.1 (older versions report 64 KiB), subgroups of 16 and 32 as for all of the second Xe generation.
pub fn b580() -> Card {
    let caps = Caps {
        class: DeviceClass::Discrete,
        max_binding: VULKAN_BINDING,
        max_buffer: VULKAN_BUFFER,
        max_workgroups: 65_535,
        max_workgroup_memory: 48 << 10,
        max_invocations: 1024,
        max_storage_buffers: MANY,
        subgroups: Some((16, 32)),
        compute_units: 20,
        registers: 128,
        multiply_adds_per_byte: 21,
        nvidia: false,
    };
    Card { name: "Arc B580", caps }
}

/// Apple M2 with ten cores and 8 GB of memory, by Metal: the longest buffer is half of the memory, and wgpu cuts it and the
/// binding to 32 bits (the library the binding once more, to whole steps of 256 bytes). wgpu says 4 to 64 of the subgroups
/// of every Metal device; these have 32 lanes.
pub fn m2() -> Card {
    let caps = Caps {
        class: DeviceClass::Integrated,
        max_binding: u32::MAX as u64 & !255,
        max_buffer: u32::MAX as u64,
        max_workgroups: 65_535,
        max_workgroup_memory: 32 << 10,
        max_invocations: 1024,
        max_storage_buffers: 29,
        subgroups: Some((4, 64)),
        compute_units: 10,
        registers: 128,
        multiply_adds_per_byte: 18,
        nvidia: false,
    };
    Card { name: "M2", caps }
}

/// None of the four: Mesa's rasteriser on a CPU of 256-bit vectors (22.3.6, limits through wgpu), whose products shuffle among
/// eight lanes as those of no card do.
pub fn lavapipe() -> Card {
    let caps = Caps {
        class: DeviceClass::Software,
        max_binding: 128 << 20,
        max_buffer: VULKAN_BUFFER,
        max_workgroups: 65_535,
        max_workgroup_memory: 32 << 10,
        max_invocations: 1024,
        max_storage_buffers: 32,
        subgroups: Some((8, 8)),
        compute_units: 2,
        registers: 255,
        multiply_adds_per_byte: 20,
        nvidia: false,
    };
    Card { name: "lavapipe", caps }
}

/// Networks at the batches that people train them with.
pub const NETWORKS: [(Network, usize); 6] = [
    (Network::Lenet5, 64),
    (Network::Vgg11, 128),
    (Network::Vgg16Large, 32),
    (Network::Resnet18, 128),
    (Network::Resnet34, 128),
    (Network::Resnet50Large, 32),
];

/// The plan of a training step of each of [`NETWORKS`] for `card`, by the network's name, with nothing chosen.
pub fn plans(card: &Card) -> Vec<(&'static str, Plan)> {
    NETWORKS.iter().map(|&(network, batch)| (network.name(), plan(card, network, batch))).collect()
}

/// The plan of a training step for `card`.
pub fn plan(card: &Card, network: Network, batch: usize) -> Plan {
    let plan = || {
        let tape = network.training(batch, 64)?.tape;
        let layout = Arc::new(ParameterLayout::new(&tape, &card.caps)?);
        Plan::new(Arc::new(tape), layout, &card.caps, &Choices::default())
    };
    plan().unwrap_or_else(|error| panic!("{} at batch {batch} on {}: {error}", network.name(), card.name))
}
