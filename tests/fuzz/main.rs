//! Every reader of files on hostile input: no panic, no hang, and no memory beyond a limit that each states.
//!
//! Inputs are mutations of small valid files, the same in every run. A reader has a second; `TILEGRAD_FUZZ_MINUTES=N`
//! gives each reader N minutes, and `TILEGRAD_FUZZ_SEED=N` other mutations. An input that fails is kept in the folder
//! that the message names; in `tests/fuzz/regressions/READER/` it becomes a test of its own.

mod copies;
mod harness;
mod memory;
mod mutate;
mod readers;
mod seeds;

#[path = "../common/scratch.rs"]
mod scratch;

use harness::fuzz;

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;

/// A test for each reader, so that one runs alone by its name.
macro_rules! readers {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name), readers::$name());
            }
        )*
    };
}

readers!(idx, cifar, npy, npz, table, image, safetensors, card, choices, class_weights, checkpoint, cache);
