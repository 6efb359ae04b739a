//! Config in, running node out: the only crate that sees everything a node is made of.
//!
//! The same [`Agent`] runs in production and as a node of the simulation; there, without HTTP.

mod agent;
mod autopilot;
mod config;
mod error;
mod formation;
mod hearsay;
#[cfg(feature = "http")]
mod http;
mod listeners;
mod membership;
mod start;

pub use agent::Agent;
pub use config::{BadConfig, Config};
pub use error::StartError;
pub use seedlog_raft::{Healed, StopReason};
pub use seedlog_server::Limits;
