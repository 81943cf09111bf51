//! The executor that runs a tape by the operations' twins ([`crate::twin`]). It trains where no adapter is found.

mod executor;

pub use executor::{HostStore, Program};
