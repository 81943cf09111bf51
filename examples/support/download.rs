//! `--download NAME`: downloads a known data set once.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use tilegrad::Result;
use tilegrad::data::download::Known;

use super::Options;

/// Folder of data sets, relative to the current folder.
const FOLDER: &str = "data";

/// Returns the folder of the data set `name`, downloaded first if it is missing.
pub fn download(options: &Options, name: &str) -> Result<PathBuf> {
    let known: Known = name.parse()?;
    let bar = if options.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = "{msg} {bar:30} {bytes}/{total_bytes}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let dir = known.download(Path::new(FOLDER), &mut |progress| {
        bar.set_message(progress.file.to_string());
        if let Some(of) = progress.total {
            bar.set_length(of);
        }
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    Ok(dir)
}
