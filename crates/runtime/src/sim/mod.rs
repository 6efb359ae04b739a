//! What the simulation's harness sets, and the product's code never sees: the seed, each node's
//! clock, how long blocking work takes, where a node goes down, what befalls datagrams and calls, and which versions
//! the nodes have.
//!
//! A simulated world lives on one thread, and so does this state; [`set_seed`] begins a new world.

mod blocking;
mod buggify;
mod calls;
mod messages;
mod skew;
mod sleep;
mod udp;
mod versions;
mod world;

pub use blocking::{BlockingTimes, Moment, blocking_steps, crash_at_step, set_blocking};
pub use buggify::{buggify_fired, set_buggify};
pub use calls::{
    AnyMessage, break_connections, calls_fired, crash_at_answer, forget_crash_at_answer, set_doubled_calls,
    set_late_calls, set_slow_link,
};
pub use madsim::task::NodeId;
pub use messages::{Message, observe_messages};
pub use skew::{Skew, set_skew};
pub use udp::set_udp_duplication;
pub use versions::{Call, Versions, set_versions};
pub use world::{halt, keyed_rng, rng_here, set_seed, unhalt};

pub(crate) use blocking::blocking_step;
pub(crate) use buggify::buggified;
pub(crate) use calls::{Open, answering, count_served_late, dawdle, is_served_late, twin};
pub(crate) use messages::message;
pub(crate) use skew::skew_here;
pub(crate) use sleep::sleep_world;
pub(crate) use udp::udp_copies_here;
pub(crate) use versions::{common, have};
