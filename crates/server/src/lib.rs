//! The node's log as clients see it: `log.v1.Log` over gRPC and, with the feature `http`, HTTP/JSON.
//!
//! Handlers check, ask the node, and answer; they keep nothing. Both roads in go through [`Service`],
//! so an answer does not depend on the road.

mod admin;
mod consume;
mod consume_stream;
mod error;
mod grpc;
#[cfg(feature = "http")]
pub mod http;
mod limits;
mod produce;
mod produce_stream;
mod servers;
mod service;
mod stopping;

pub use grpc::add_log;
pub use limits::{BadLimit, Limits, MESSAGE_BYTES_MAX};
pub use service::Service;
pub use stopping::Stopping;
