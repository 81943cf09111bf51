//! `--profile FILE`: prints tables on the terminal, and writes a trace to FILE.

use std::path::Path;

use tilegrad::files::write_whole;
use tilegrad::gpu::Profile;
use tilegrad::{Error, Result};

/// Creates the folder of FILE before the run, so that a failure does not come at its end.
pub fn check_profile(file: &Path) -> Result<()> {
    match file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|source| Error::io(parent, source)),
        None => Ok(()),
    }
}

/// Prints the profile and writes the trace. Prints a notice if nothing was timed.
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
