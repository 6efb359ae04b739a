//! A plan is data: the cluster, its configuration, the workload and every fault with its time. A seed
//! expands into one; its TOML can be run again without the seed's help.

mod buggify;
mod cells;
mod draw;
mod expand;
mod failure;
mod fault;
mod mirror;
mod point;
mod upgrade;

pub use buggify::{Buggified, points};
pub use cells::{kinds, rare, rarer};
pub use expand::plan;
pub use failure::Failure;
pub use fault::{At, Damage, DiskError, Fault, Planned, Target, Way};
pub use mirror::{MirrorCrash, Mirroring};
pub use point::{Point, Where};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub seed: u64,
    /// How many nodes the cluster has.
    #[serde(default = "one")]
    pub nodes: u32,
    /// Where the cluster is, if there are two.
    #[serde(default, skip_serializing_if = "is_first")]
    pub site: u32,
    /// Simulated milliseconds under faults; then everything heals.
    pub trouble_ms: u64,
    /// After heal and a while of peace, the power goes once more; everything acked must come back.
    pub last_power_seed: Option<u64>,
    /// In the very end a synced bit flips: the node must get it back from others, or refuse to start, or serve nothing wrong.
    pub last_rot_seed: Option<u64>,
    /// A scenario's situation: what must happen, one after the other, or the plan has lost its meaning. Each is a cell
    /// that is counted, perhaps with `on node 3` behind it, or words of an event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    pub config: Config,
    pub network: Network,
    pub workload: Workload,
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Planned>,
    /// Who starts as the last release, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_version: Vec<u32>,
    /// What the product does now and then, although it seldom does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buggify: Vec<Buggified>,
    /// How a run of it failed, if it is kept for that. A run does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Where the log is mirrored into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirroring>,
}

fn is_first(site: &u32) -> bool {
    *site == 0
}

/// Plans from before there were clusters do not say.
fn one() -> u32 {
    1
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub segment_bytes_max: u64,
    pub index_rows_max: u32,
    pub prewrite_bytes: u64,
    /// How much is read and checked at a start.
    pub start_check_bytes_max: u64,
    pub heartbeat_ms: u64,
    /// Produce calls under way hold at most this together.
    pub in_flight_bytes_max: usize,
    /// Below this much free space nothing is produced.
    pub reserve_bytes: u64,
    /// A disk step takes up to this long when nothing is slow, microseconds.
    pub disk_step_us_max: u64,
    /// How fast the scrub reads; 0: not at all.
    #[serde(default)]
    pub scrub_bytes_per_s: u64,
    #[serde(default)]
    pub scrub_pause_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub latency_ms_min: u64,
    pub latency_ms_max: u64,
    /// Of 1,000 messages, so many are lost.
    pub loss_per_mille: u32,
    /// Of 1,000 datagrams, so many arrive twice.
    #[serde(default)]
    pub doubled_per_mille: u32,
    /// Of 1,000 calls, so many are served also if their caller has gone before they arrived.
    #[serde(default)]
    pub calls_late_per_mille: u32,
    /// Of 1,000 calls between nodes, so many arrive a second time.
    #[serde(default)]
    pub calls_doubled_per_mille: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Clients that produce, some unary, some pipelined.
    pub producers: u32,
    /// Clients that number their records and send again what was not answered.
    pub exactly_once: u32,
    /// Clients that append only where they think the end is.
    pub appenders: u32,
    /// Clients that take the log from each other with fencing tokens.
    pub fencers: u32,
    /// Clients that ask here and there.
    pub askers: u32,
    /// Clients that follow the tail.
    pub consumers: u32,
    pub record_bytes_max: u32,
    pub batch_records_max: u32,
    /// Mean pause between two produce calls of one client.
    pub pause_ms_mean: u64,
    /// Mean pause between two trims; 0: never trims.
    pub trim_ms_mean: u64,
    /// Mean pause between two changes of the retention; 0: everything is kept.
    pub retention_ms_mean: u64,
    /// Clients of the cluster as a whole that produce exactly once.
    #[serde(default)]
    pub cluster_producers: u32,
    /// And that follow its tail.
    #[serde(default)]
    pub cluster_consumers: u32,
}
