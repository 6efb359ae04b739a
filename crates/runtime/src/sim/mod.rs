//! What the simulation's harness sets, and the product's code never sees: the seed, each node's
//! clock, how long blocking work takes, where a node goes down, and what the network does to datagrams.
//!
//! A simulated world lives on one thread, and so does this state; [`set_seed`] begins a new world.

mod blocking;
mod skew;
mod sleep;
mod udp;
mod world;

pub use blocking::{BlockingTimes, Moment, blocking_steps, crash_at_step, set_blocking};
pub use madsim::task::NodeId;
pub use skew::{Skew, set_skew};
pub use udp::set_udp_duplication;
pub use world::{halt, keyed_rng, rng_here, set_seed, unhalt};

pub(crate) use blocking::blocking_step;
pub(crate) use skew::skew_here;
pub(crate) use sleep::sleep_world;
pub(crate) use udp::udp_copies_here;
