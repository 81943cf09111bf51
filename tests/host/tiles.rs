//! Tiles of products: which there are, what is taken without a choice, and that a choice is followed where it is valid.

use tilegrad::graph::{Spec, Tape};
use tilegrad::kernel::{Caps, Choices, Constant, DeviceClass};

use tilegrad::plan::candidates;

use crate::zoo;

fn product(m: usize, n: usize, k: usize) -> Tape {
    let mut tape = Tape::new(false);
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
        Constant::U32(columns) if name == "TILE_N" => Some(columns),
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

/// The tiles of the workgroup core, the one that is taken without a choice first.
fn workgroup_tiles(tape: &Tape, caps: &Caps) -> Vec<String> {
    let candidates = candidates(tape, &tape.nodes()[0], caps).into_iter();
    candidates.filter(|candidate| candidate.name == "workgroup").filter_map(|candidate| candidate.tile).collect()
}

#[test]
fn the_tile_without_a_choice_fills_the_device() {
    let first = |class, [m, n, k]: [usize; 3]| {
        let tape = product(m, n, k);
        workgroup_tiles(&tape, &Caps::webgpu(class)).swap_remove(0)
    };
    use DeviceClass::{Discrete, Integrated, Software};
    assert_eq!(first(Discrete, [2048, 2048, 64]), "128x128x8");
    assert_eq!(first(Discrete, [1024, 1024, 64]), "128x64x16", "64 of the larger would be too few");
    assert_eq!(first(Discrete, [65536, 64, 64]), "128x64x16", "half of the larger would lie beyond the last column");
    assert_eq!(first(Discrete, [64, 4096, 64]), "32x64x16");
    assert_eq!(first(Integrated, [2048, 2048, 64]), "64x64x16");
    assert_eq!(first(Software, [256, 256, 64]), "64x64x16-8x8");
    for class in [Discrete, Integrated, Software] {
        assert_eq!(first(class, [65536, 32, 64]), "64x32x16");
        assert_eq!(first(class, [65536, 10, 64]), "64x16x16");
    }
    // A device with less than WebGPU asks for is given what it can run, of which the first is one that suits it.
    let small = Caps { max_invocations: 128, max_workgroup_memory: 8 << 10, ..Caps::webgpu(Discrete) };
    let tape = product(2048, 2048, 64);
    let (all, of_small) = (workgroup_tiles(&tape, &Caps::webgpu(Discrete)), workgroup_tiles(&tape, &small));
    assert_eq!(of_small[0], "32x64x16");
    assert!(of_small.len() < all.len() && of_small.iter().all(|tile| all.contains(tile)), "{of_small:?} of {all:?}");
    for large in ["128x128x8", "128x64x16", "64x64x16"] {
        assert!(!of_small.iter().any(|tile| tile == large), "{large} needs more than the device has");
    }
}
