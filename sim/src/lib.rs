//! The simulated world: a plan per seed, one real agent on a simulated machine, clients that believe
//! only answers, and checks over what they saw.
//!
//! ```text
//! seed -> plan (plan.rs) -> supervisor: faults, crashes, restarts (supervisor/, machine.rs)
//!                        -> clients: produce, tail, trim           (workload/)
//!                        -> history (history.rs) -> checks (checks/) -> report (run.rs)
//! ```

#![allow(clippy::disallowed_methods)]

pub mod checks;
pub mod health;
pub mod history;
pub mod plan;
pub mod trace;

#[cfg(madsim)]
mod links;
#[cfg(madsim)]
mod machine;
#[cfg(madsim)]
pub mod run;
#[cfg(madsim)]
mod supervisor;
#[cfg(madsim)]
mod workload;
#[cfg(madsim)]
mod world;

#[cfg(madsim)]
pub mod command;
#[cfg(madsim)]
pub mod each;
pub mod watchdog;
