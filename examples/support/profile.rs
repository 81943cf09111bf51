//! What `--profile FILE` does: tables on the terminal, and a trace in FILE.

use std::path::Path;

use tilegrad::files::write_whole;
use tilegrad::gpu::Profile;
use tilegrad::{Error, Result};

/// Makes the folder of FILE, before a run whose end it would spoil if it can't be made.
pub fn check_profile(file: &Path) -> Result<()> {
    match file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|source| Error::io(parent, source)),
        None => Ok(()),
    }
}

/// Prints where the time goes and writes the trace; where nothing was timed it says so.
pub fn write_profile(profile: Option<Profile>, file: &Path) -> Result<()> {
    let Some(profile) = profile else {
        println!("\nprofile  none: the reference executor on the CPU has no dispatches to time, --profile wants a GPU");
        return Ok(());
    };
    println!("\nprofile  {profile}");
    write_whole(file, profile.to_chrome_trace().as_bytes())?;
    println!("written  {}", file.display());
    Ok(())
}
