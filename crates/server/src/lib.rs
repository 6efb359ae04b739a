//! The node's log as clients see it: `log.v1.Log` over gRPC and, with the feature `http`, HTTP/JSON.
//!
//! Handlers check, ask the node, and answer; they keep nothing. Both roads in go through [`Service`],
//! so an answer does not depend on the road.

mod admin;
mod consume;
mod consume_stream;
mod error;
mod grpc;
#[cfg(not(madsim))]
mod health;
#[cfg(feature = "http")]
pub mod http;
mod limits;
mod produce;
mod produce_stream;
#[cfg(not(madsim))]
mod reflection;
mod servers;
mod service;
mod stopping;

pub use grpc::add_log;
pub use limits::{BadLimit, Limits, MESSAGE_BYTES_MAX};
pub use service::Service;
pub use stopping::Stopping;

/// Adds what any gRPC server is expected to have: health and reflection. The simulation has neither.
pub fn add_standard(services: seedlog_runtime::rpc::Services, service: &Service) -> seedlog_runtime::rpc::Services {
    #[cfg(not(madsim))]
    let services = reflection::add_reflection(health::add_health(services, service));
    let _ = service;
    services
}
