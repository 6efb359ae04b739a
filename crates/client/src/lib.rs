//! The client library: [`Cluster`] talks to whoever is there of a cluster, [`Client`] to one server.
//!
//! A produce whose answer did not arrive may or may not have been written: [`Error::outcome`] says which
//! failures leave that open. [`Client`] tries nothing again behind the caller's back; [`Cluster`] does, where
//! that cannot write anything twice. Every call has a deadline.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let config = seedlog_agent::Config::new(dir.path().into(), ([127, 0, 0, 1], 0).into());
//! # let node = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
//! # let address = node.rpc_addr().to_string();
//! use seedlog_client::{Cluster, Record};
//!
//! // One server that answers is enough to find the rest.
//! let cluster = Cluster::connect([&address])?;
//! let record = Record { value: "hello".into(), ..Record::default() };
//! // On the disks of a majority when this returns.
//! let produced = cluster.produce(vec![record]).await?;
//! assert_eq!(cluster.consume(produced.first_offset).await?.value, "hello");
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Whole programs are in `examples/`: `produce` (exactly once), `pour` (many at a time), `tail`, `copy` (one log into another) and
//! `lock` (compare-and-append).

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
