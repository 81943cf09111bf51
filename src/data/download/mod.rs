//! Fetching the known data sets, each file whole and with the SHA-256 expected. Needs the feature `download`.

mod archive;
mod fetch;
mod known;

pub use archive::unpack;
pub use fetch::{DownloadProgress, Mirrored, fetch, sha256};
pub use known::Known;
