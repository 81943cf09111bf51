//! Downloads of known data sets, each file complete and with the expected SHA-256. Needs the feature `download`.

mod archive;
mod fetch;
mod known;

pub use archive::unpack;
pub use fetch::{DownloadProgress, Mirrored, fetch, sha256};
pub use known::Known;
