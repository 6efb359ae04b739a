//! The client against a log in memory that misbehaves on request.

mod cluster;
mod cluster_producer;
mod memory_log;
mod produce;
mod read;
#[cfg(madsim)]
mod simulated;
