//! The client library: [`Cluster`] talks to whoever is there of a cluster, [`Client`] to one server.
//!
//! A produce whose answer did not arrive may or may not have been written: [`Error::outcome`] says which
//! failures leave that open. [`Client`] tries nothing again behind the caller's back; [`Cluster`] does, where
//! that cannot write anything twice. Every call has a deadline.

mod admin;
mod client;
mod cluster;
mod conditions;
mod error;
pub mod mirror;
mod produce_stream;
mod tail;

pub use client::{Client, Fetch, Options, Produced, Start};
pub use cluster::{Cluster, ClusterOptions, ClusterTail, Delivered, Delivery, Producer, ProducerOptions};
pub use conditions::{Conditions, IN_FLIGHT_MAX, ProducerSequence};
pub use error::{Error, Outcome};
pub use produce_stream::{ProduceResults, ProduceSender};
pub use seedlog_api::ApiError;
pub use seedlog_api::v1::{
    DescribeResponse, Fencing, GetServersResponse, Gossip, Header, Liveness, Origin, Record, RememberedProducer,
    Retention, Role, ScrubResponse, Server,
};
pub use seedlog_runtime::rpc::BadAddress;
pub use tail::Tail;
