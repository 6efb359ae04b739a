//! The node's log as clients see it: `log.v1.Log` over gRPC and, with the feature `http`, HTTP/JSON.
//!
//! Handlers check, ask the node, and answer; they keep nothing. Both roads in go through [`Service`],
//! so an answer does not depend on the road.

mod admin;
mod consume;
mod consume_stream;
mod error;
mod front;
mod grpc;
#[cfg(not(madsim))]
mod health;
mod heard;
#[cfg(feature = "http")]
pub mod http;
mod leader_hint;
mod limits;
mod produce;
mod produce_stream;
#[cfg(not(madsim))]
mod reflection;
mod scrub;
mod servers;
mod service;
mod stopping;

pub use front::{Front, Stage};
pub use grpc::add_log;
pub use heard::{Heard, HeardState, Hearsay, NoHearsay};
pub use limits::{BadLimit, Limits, MESSAGE_BYTES_MAX};
pub use service::Service;
pub use stopping::Stopping;

use seedlog_raft::Node;
use seedlog_runtime::rpc::Services;
use seedlog_runtime::watch;

/// Adds what any gRPC server is expected to have: health and reflection. The simulation has neither.
fn add_standard(services: Services, service: Option<&Service>, healthy: watch::Receiver<bool>) -> Services {
    #[cfg(not(madsim))]
    let services = reflection::add_reflection(health::add_health(services, service, healthy.clone()));
    drop((service, healthy));
    services
}

/// Tells those who watch the node's health how it is, until it stops.
fn follow_health(node: Node, stopping: Stopping, healthy: watch::Sender<bool>) {
    #[cfg(not(madsim))]
    drop(seedlog_runtime::spawn(health::follow(node, stopping, healthy)));
    #[cfg(madsim)]
    drop((node, stopping, healthy));
}
