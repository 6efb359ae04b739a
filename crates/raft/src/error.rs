use crate::stop::StopReason;
use seedlog_log::{OpenError, Refusal};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("not a usable configuration: {0}")]
    Config(String),
    #[error("raft did not start: {0}")]
    Raft(String),
}

/// Where the leader was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    pub node_id: u64,
    pub rpc_addr: String,
}

/// Every variant but [`ProduceError::Unknown`] is definite: the records were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    #[error("nothing to produce")]
    Empty,
    #[error("the records take {bytes} bytes together, over the limit of {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("no room: {free_bytes} bytes are free on the disk, of which {reserve_bytes} are kept back")]
    DiskFull { free_bytes: u64, reserve_bytes: u64 },
    /// The log's own decision: a condition of the call did not hold.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    /// The records may or may not be in the log, or may still come.
    #[error("the outcome is unknown: {reason}")]
    Unknown { reason: String },
    #[error("{0}")]
    Stopped(StopReason),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("offset {asked} is out of range {first}..{next}")]
    OutOfRange { asked: u64, first: u64, next: u64 },
    /// Names the file and the position.
    #[error(transparent)]
    Log(#[from] seedlog_log::ReadError),
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    #[error("no majority answers: {reason}")]
    NoQuorum { reason: String },
    #[error("{0}")]
    Stopped(StopReason),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum TrimError {
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// Retention could not see what there is.
    #[error(transparent)]
    Log(#[from] seedlog_log::ReadError),
    /// The trim is committed; its space is freed at the next start.
    #[error("{0}")]
    Stopped(StopReason),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub StopReason);
