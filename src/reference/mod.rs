//! The executor that runs a tape by the operations' twins ([`crate::twin`]). Where no adapter is found it trains.

mod executor;

pub use executor::{HostStore, Program};
