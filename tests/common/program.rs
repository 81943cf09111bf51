//! The examples' programs, as a person starts them.

use std::path::Path;
use std::process::Command;

/// The example's program, which a plain `cargo test` builds beside the tests (`cargo test --test NAME` alone does not).
pub fn example(name: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.parent().and_then(Path::parent).unwrap().join("examples");
    Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
