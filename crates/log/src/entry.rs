//! What the log stores: one entry per Raft log index.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Raft's log id: entries are the same if and only if these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct EntryId {
    pub term: u64,
    /// The first entry of a log has index 0 (openraft's membership entry).
    pub index: u64,
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One produce call: the payload is a [`crate::RecordBatch`].
    Records = 1,
    /// Raft's empty entry of a new leader; no payload.
    Blank = 2,
    /// Raft membership; the payload is opaque to this crate.
    Membership = 3,
    /// The payload is a [`crate::Command`].
    Command = 4,
}

impl Kind {
    pub fn from_u8(byte: u8) -> Option<Kind> {
        [Kind::Records, Kind::Blank, Kind::Membership, Kind::Command].into_iter().find(|k| *k as u8 == byte)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    pub kind: Kind,
    /// Milliseconds since 1970. Going in: the leader's clock when it proposed. Read back: the append
    /// time, which the fold made non-decreasing. Folding either gives the same result.
    pub time_ms: u64,
    pub payload: Bytes,
}

/// A payload that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payload of {length} bytes is no {what}")]
pub struct BadPayload {
    pub what: &'static str,
    pub length: usize,
}
