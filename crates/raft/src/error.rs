use crate::stop::StopReason;
use seedlog_api::raft_v1 as v1;
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
    #[error(
        "no room for {wanted_bytes} bytes: {free_bytes} are free on the disk, of which {reserve_bytes} are kept back"
    )]
    DiskFull { wanted_bytes: u64, free_bytes: u64, reserve_bytes: u64 },
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
    /// It will be there again; other nodes have it now.
    #[error("this node puts right what it lost: {0}")]
    BeingRepaired(seedlog_log::ReadError),
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

/// Why a change of the membership was not made. Every variant but [`ChangeError::Unknown`] is definite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    #[error("node {node_id:016x} is no member of this cluster")]
    NoMember { node_id: u64 },
    #[error("node {node_id:016x} does not vote, and cannot lead")]
    NoVoter { node_id: u64 },
    #[error("node {node_id:016x} is the only voter")]
    LastVoter { node_id: u64 },
    #[error("another change of the membership is under way")]
    InProgress,
    #[error("node {node_id:016x} does not vote: it has no place that another one could take")]
    NoPlace { node_id: u64 },
    #[error("node {node_id:016x} votes already: to be without the other one, take that out")]
    AlreadyVoter { node_id: u64 },
    #[error("node {node_id:016x} is not there, as far as the leader hears")]
    NotAlive { node_id: u64 },
    #[error("node {node_id:016x} is sent the log now, and is {behind} entries behind: try again when it has them")]
    NotCaughtUp { node_id: u64, behind: u64 },
    #[error("only {alive} of the {voters} voters that there would be are there: no majority")]
    NoLiveMajority { alive: usize, voters: usize },
    #[error("{reason}")]
    Refused { reason: String },
    /// It may have been made, or may still be.
    #[error("the outcome is unknown: {reason}")]
    Unknown { reason: String },
    #[error("{0}")]
    Stopped(StopReason),
}

impl ChangeError {
    pub(crate) fn to_failure(&self) -> v1::Failure {
        let kind = match self {
            ChangeError::Unknown { .. } => v1::FailureKind::Unspecified,
            ChangeError::NotLeader { .. } => v1::FailureKind::NotLeader,
            ChangeError::Stopped(_) => v1::FailureKind::Stopped,
            _ => v1::FailureKind::Refused,
        };
        v1::Failure { kind: kind.into(), reason: self.to_string(), ..v1::Failure::default() }
    }

    pub(crate) fn from_failure(failure: v1::Failure) -> ChangeError {
        match failure.kind() {
            v1::FailureKind::NotLeader | v1::FailureKind::Stopped => ChangeError::NotLeader { leader: None },
            v1::FailureKind::Refused | v1::FailureKind::DiskFull => ChangeError::Refused { reason: failure.reason },
            v1::FailureKind::Unspecified => ChangeError::Unknown { reason: failure.reason },
        }
    }
}
