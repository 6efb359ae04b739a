//! The seam between the product and the world: disk, clock, randomness, blocking work, tasks, datagrams, and
//! the serve loop. In production these are the operating system, tokio and tonic; with `--cfg madsim`
//! they are simulated, one seed deciding everything. The product above never asks which it is.
//!
//! This crate alone touches `std::time`, `std::fs`, `tokio::time` and the operating system's
//! randomness; `clippy.toml` keeps everyone else from doing so.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod blocking;
pub mod buggify;
pub mod clock;
pub mod disk;
pub mod rng;
pub mod rpc;
mod select;
#[cfg(madsim)]
pub mod sim;
mod spawn;
pub mod udp;
pub mod watch;

pub use blocking::{blocking, blocking_in_turn};
pub use rng::rng;
pub use spawn::{JoinHandle, spawn};
pub use udp::resolve;

/// What the macros of this crate expand to; nothing to name by hand.
#[doc(hidden)]
pub mod __private {
    pub use tokio;
}
