//! What a node is told at its start, and what openraft is told.

use std::ops::Range;
use std::time::Duration;

/// After so many heartbeats without one, a follower stands for election.
const ELECTION_HEARTBEATS: Range<u64> = 4..8;

#[derive(Debug, Clone)]
pub struct NodeConfig {
    pub node_id: u64,
    pub cluster_id: u128,
    /// What people call this node.
    pub node_name: String,
    /// Where others reach this node.
    pub rpc_addr: String,
    pub log: seedlog_log::Config,
    /// All of Raft's times follow from it: more than a round trip and a sync together.
    pub heartbeat: Duration,
    /// If the log is empty: make this node the first and only voter of the cluster.
    pub bootstrap: bool,
    /// A produce call's records, encoded, take at most this.
    pub produce_bytes_max: usize,
    /// Produce calls that are not answered yet hold at most this together; more wait their turn.
    pub in_flight_bytes_max: usize,
    /// Entries kept in memory after they are durable, since they are read again at once.
    pub tail_bytes_max: usize,
    /// Below this much free space nothing is produced any more.
    pub reserve_bytes: u64,
    /// How often the leader looks whether retention lets something go.
    pub retention_check: Duration,
    /// The log is read again and again to find damage, at most so fast; 0: never.
    pub scrub_bytes_per_s: u64,
    /// Between the end of one such reading and the beginning of the next.
    pub scrub_pause: Duration,
    /// How long a call waits for a leader, or for one that answers.
    pub leader_wait_max: Duration,
    /// How long a proposal may take; then its outcome is unknown.
    pub answer_max: Duration,
}

impl NodeConfig {
    pub fn new(node_id: u64, cluster_id: u128, rpc_addr: impl Into<String>) -> NodeConfig {
        NodeConfig {
            node_id,
            cluster_id,
            node_name: String::new(),
            rpc_addr: rpc_addr.into(),
            log: seedlog_log::Config::default(),
            heartbeat: Duration::from_millis(150),
            bootstrap: true,
            produce_bytes_max: 4 << 20,
            in_flight_bytes_max: 32 << 20,
            tail_bytes_max: 16 << 20,
            reserve_bytes: 64 << 20,
            retention_check: Duration::from_secs(1),
            scrub_bytes_per_s: 4 << 20,
            scrub_pause: Duration::from_secs(600),
            leader_wait_max: Duration::from_secs(5),
            answer_max: Duration::from_secs(10),
        }
    }

    /// How long a peer may owe an answer: as long as it would wait for a leader.
    pub(crate) fn patience(&self) -> Duration {
        self.heartbeat * ELECTION_HEARTBEATS.end as u32
    }

    /// # Errors
    /// With what is wrong with the heartbeat.
    pub(crate) fn openraft(&self) -> Result<openraft::Config, String> {
        let heartbeat_ms = u64::try_from(self.heartbeat.as_millis()).unwrap_or(u64::MAX);
        if !(10..=60_000).contains(&heartbeat_ms) {
            return Err(format!("a heartbeat of {:?} is not between 10 ms and 60 s", self.heartbeat));
        }
        let config = openraft::Config {
            cluster_name: format!("{:032x}", self.cluster_id),
            heartbeat_interval: heartbeat_ms,
            // A follower that has just acked records has heard of its leader.
            heartbeat_min_interval: Some(heartbeat_ms),
            election_timeout_min: ELECTION_HEARTBEATS.start * heartbeat_ms,
            election_timeout_max: ELECTION_HEARTBEATS.end * heartbeat_ms,
            // A leader whose followers hear it and that does not hear them lets them elect another.
            quorum_loss_probe_interval: Some(2 * ELECTION_HEARTBEATS.end * heartbeat_ms),
            // Cut by bytes, when they are read.
            max_payload_entries: 4096,
            backoff: format!("{heartbeat_ms}ms ...{}ms", 8 * heartbeat_ms),
            install_snapshot_timeout: 4 * ELECTION_HEARTBEATS.end * heartbeat_ms,
            // The log is trimmed by a committed command, never because it has grown.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            purge_batch_size: 1,
            max_in_snapshot_log_to_keep: u64::MAX,
            enable_pre_vote: Some(true),
            // A leader that restarts and takes its place back could have lost a tail that it had not
            // flushed, and would use the same term and index for something else.
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| error.to_string())
    }
}
