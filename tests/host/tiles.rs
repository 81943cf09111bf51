//! Tiles of products: which there are, what is taken without a choice, and that a choice is followed where it is valid.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass, HeaderConstant};

use tilegrad::plan::candidates;

use crate::common::cards;
use crate::zoo;

fn product(m: usize, n: usize, k: usize) -> Tape {
    let mut tape = Tape::new(Purpose::Evaluate);
    let a = tape.input("a", Spec::f32([m, k])).unwrap();
    let b = tape.input("b", Spec::f32([k, n])).unwrap();
    let c = tape.matmul("product", a, b).unwrap();
    tape.keep(c);
    tape
}

fn eight_lanes() -> Caps {
    Caps { subgroups: Some((8, 8)), ..Caps::webgpu(DeviceClass::Software) }
}

/// The name and the columns of the tile of a product's only kernel under this choice.
fn taken(tape: &Tape, caps: &Caps, choice: &'static str) -> (&'static str, u32) {
    let choices = Choices::default().operation("matmul", choice);
    let plan = zoo::plan(tape, caps, &choices).unwrap();
    let kernel = &plan.steps[0].kernel;
    let columns = kernel.constants.iter().find_map(|&(name, value)| match value {
        HeaderConstant::U32(columns) if name == "TILE_N" => Some(columns),
        _ => None,
    });
    (kernel.name, columns.unwrap_or(0))
}

#[test]
fn a_choice_may_name_a_tile_of_the_algorithm() {
    let (tape, caps) = (product(64, 64, 64), eight_lanes());
    assert_eq!(taken(&tape, &caps, "subgroup8"), ("matmul/subgroup8", 32));
    assert_eq!(taken(&tape, &caps, "subgroup8:32x16"), ("matmul/subgroup8", 16));
    assert_eq!(taken(&tape, &caps, "subgroup8:32x8"), ("matmul/subgroup8", 8));
    assert_eq!(taken(&tape, &caps, "direct"), ("matmul/direct", 0));
    // What isn't valid is passed over: a tile of another algorithm, an algorithm that this device lacks.
    assert_eq!(taken(&tape, &caps, "subgroup8:64x16x16"), ("matmul/subgroup8", 32));
    assert_eq!(taken(&tape, &caps, "direct:32x8"), ("matmul/direct", 0));
    assert_eq!(taken(&tape, &Caps::webgpu(DeviceClass::Software), "subgroup8:32x8").0, "matmul/workgroup");
}

#[test]
fn the_first_tile_is_the_one_taken_without_a_choice() {
    for caps in zoo::devices() {
        for [m, n] in [[64, 4], [64, 16], [64, 40], [4096, 64], [4096, 4096], [100, 1000]] {
            let tape = product(m, n, 64);
            let candidates = candidates(&tape, &tape.nodes()[0], &caps);
            for (i, candidate) in candidates.iter().enumerate() {
                assert_eq!(candidate.tile.is_none(), candidate.name == "direct", "{candidate}");
                // The first of its name is what the name alone takes.
                if candidates[..i].iter().any(|before| before.name == candidate.name) {
                    continue;
                }
                let of = |choice: &str| {
                    let choices = Choices::everywhere(choice);
                    zoo::plan(&tape, &caps, &choices).unwrap().steps[0].kernel.clone()
                };
                let class = caps.class;
                assert_eq!(of(&candidate.name), of(&candidate.to_string()), "{m} x {n}, {candidate}, {class:?}");
            }
        }
    }
}

/// The candidates of the cores for GPUs, the one that is taken without a choice first.
fn for_gpus(tape: &Tape, caps: &Caps) -> Vec<String> {
    let candidates = candidates(tape, &tape.nodes()[0], caps).into_iter();
    candidates
        .filter(|candidate| ["workgroup", "pipelined"].contains(&candidate.name.as_str()))
        .map(|candidate| candidate.to_string())
        .collect()
}

#[test]
fn the_tile_without_a_choice_fills_the_device() {
    let first = |caps: &Caps, [m, n, k]: [usize; 3]| for_gpus(&product(m, n, k), caps).swap_remove(0);
    let [h100, _, _, m2] = cards::cards().map(|card| card.caps);
    // As measured on this card (benches/results/h100.md).
    assert_eq!(first(&h100, [4096, 4096, 4096]), "workgroup:128x64x16");
    assert_eq!(first(&h100, [131_072, 64, 576]), "workgroup:128x64x16", "a convolution of ResNet-18");
    assert_eq!(first(&h100, [64, 576, 131_072]), "workgroup:64x64x16", "its gradient by the weight");
    for [m, n] in [[100_000, 10], [100_000, 16], [100_000, 6]] {
        let tile = first(&h100, [m, n, 256]);
        assert!(tile.ends_with("x16x16") || tile.ends_with("x8x8"), "{m} by {n}: {tile}");
    }
    // The same product on a tenth of the units: larger tiles fill them.
    let area = |choice: &str| {
        let extents: Vec<u32> =
            choice.split_once(':').unwrap().1.split(['x', '-']).map_while(|x| x.parse().ok()).collect();
        extents[0] * extents[1]
    };
    for shape in [[1024, 1024, 1024], [2048, 512, 512], [4096, 256, 256]] {
        assert!(area(&first(&m2, shape)) >= area(&first(&h100, shape)), "{shape:?}");
    }
    // A software device has few kinds, which it compiles slowly.
    let software = Caps::webgpu(DeviceClass::Software);
    assert_eq!(first(&software, [256, 256, 64]), "workgroup:64x64x16-8x8");
    assert_eq!(first(&software, [65_536, 10, 64]), "workgroup:64x16x16");
    // A device with less than WebGPU asks for is given what it can run, of which the first is one that suits it.
    let small = Caps { max_invocations: 128, max_workgroup_memory: 8 << 10, ..Caps::webgpu(DeviceClass::Discrete) };
    let tape = product(2048, 2048, 64);
    let (all, of_small) = (for_gpus(&tape, &Caps::webgpu(DeviceClass::Discrete)), for_gpus(&tape, &small));
    assert!(!of_small.is_empty() && of_small.len() < all.len() && of_small.iter().all(|tile| all.contains(tile)));
    for large in ["128x128", "128x64x16", "64x64x16-4x4"] {
        assert!(
            !of_small.iter().any(|tile| tile.contains(large)),
            "{large} needs more than the device has: {of_small:?}"
        );
    }
    // Nor is one taken that the registers of the device do not hold.
    let intel = Caps { registers: 64, ..Caps::webgpu(DeviceClass::Integrated) };
    let thread_tiles_of_16 = ["64x64x16-4x4", "64x32x16-4x4", "32x32x", "128x16x16", "64x16x16", "128x8x8"];
    for shape in [[2048, 2048, 512], [65_536, 64, 576], [4096, 256, 256]] {
        let tile = first(&intel, shape);
        assert!(thread_tiles_of_16.iter().any(|name| tile.contains(name)), "{shape:?}: {tile}");
    }
}

/// Splits of the K dimension of a product that is taken without a choice, as its dispatches say.
fn splits(caps: &Caps, [m, n, k]: [usize; 3]) -> usize {
    let plan = zoo::plan(&product(m, n, k), caps, &Choices::default()).unwrap();
    let partials = plan.steps[0].bindings.iter().find(|(name, _)| *name == "output").unwrap();
    let splits = partials.1.bytes as usize / (4 * m * n);
    assert_eq!(plan.steps.len(), if splits == 1 { 1 } else { 2 });
    splits
}

#[test]
fn a_long_sum_of_few_results_is_split() {
    let [h100, _, _, m2] = cards::cards().map(|card| card.caps);
    assert!(splits(&h100, [4, 4096, 25_088]) >= 4, "64 tiles at most, on 132 units");
    assert!(splits(&h100, [64, 64, 50_176]) >= 32);
    assert_eq!(splits(&h100, [4096, 4096, 4096]), 1);
    assert_eq!(splits(&m2, [2048, 2048, 2048]), 1);
    assert_eq!(splits(&eight_lanes(), [64, 64, 50_176]), 1, "a software device splits gradients by the weight alone");
}

/// Multiply-adds that each convolution of ResNet-18 and of ResNet-50 executes on cards, to those that it needs, all three products: a
/// stride multiplies no zeros. Those beyond the edges of tiles are left out here, those with padding counted in both.
#[test]
fn convolutions_execute_what_they_need() {
    for card in cards::cards() {
        for (network, plan) in
            cards::plans(&card).into_iter().filter(|(name, _)| ["resnet18", "resnet50_224"].contains(name))
        {
            let mut seen = 0;
            for step in plan.steps.iter().filter(|step| step.operation.starts_with("conv2d") && step.multiply_adds > 0)
            {
                let ratio = step.executed as f64 / step.multiply_adds as f64;
                assert!(ratio <= 1.1, "{network} on {}: {} by {}: {ratio}", card.name, step.node, step.kernel.name);
                seen += 1;
            }
            assert!(seen > 3 * 19, "{network}: {seen}");
        }
    }
}

#[test]
fn the_table_of_tiles_is_in_the_benchmarks_readme() {
    let readme = include_str!("../../benches/README.md");
    let caps = Caps { max_workgroup_memory: 48 << 10, ..Caps::webgpu(DeviceClass::Discrete) };
    for choice in for_gpus(&product(256, 256, 256), &caps) {
        let (core, tile) = choice.split_once(':').unwrap();
        let line = readme.lines().find(|line| line.starts_with(&format!("| {tile} |")));
        assert!(line.is_some_and(|line| line.contains(core)), "{choice} is not in benches/README.md: {line:?}");
    }
}
