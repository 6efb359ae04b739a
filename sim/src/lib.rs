//! The simulated world: a plan per seed, one real agent on a simulated machine, clients that believe
//! only answers, and checks over what they saw.
//!
//! ```text
//! seed -> plan (plan.rs) -> supervisor: faults, crashes, restarts (supervisor/, machine.rs)
//!                        -> clients: produce, tail, trim           (workload/)
//!                        -> history (history.rs) -> checks (checks/) -> report (run.rs)
//!                        -> events (event.rs), recording -> timeline/: a page, a trace
//! a plan that fails -> shrink/ -> a small one
//! ```

#![allow(clippy::disallowed_methods)]

pub mod checks;
pub mod event;
pub mod health;
pub mod history;
pub mod plan;
pub mod released;
pub mod shrink;
pub mod timeline;
pub mod trace;

#[cfg(madsim)]
mod links;
#[cfg(madsim)]
mod machine;
#[cfg(madsim)]
mod mirrored;
#[cfg(madsim)]
pub mod run;
#[cfg(madsim)]
mod supervisor;
#[cfg(madsim)]
mod talk;
#[cfg(madsim)]
mod versions;
#[cfg(madsim)]
mod workload;
#[cfg(madsim)]
mod world;

#[cfg(madsim)]
pub mod command;
#[cfg(madsim)]
pub mod each;
pub mod watchdog;
