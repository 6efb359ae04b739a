//! What the log stores: one entry per Raft log index.

use bytes::{BufMut, Bytes, BytesMut};
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
    /// One produce call: the payload is a [`RecordBatch`].
    Records = 1,
    /// Raft's empty entry of a new leader; no payload.
    Blank = 2,
    /// Raft membership; the payload is opaque to this crate.
    Membership = 3,
    /// The payload is a [`Command`].
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

/// The payload of [`Kind::Records`]: the records of one produce call, atomic.
///
/// ```text
/// | options length u32 | options | record count u32 | count x ( length u32 | bytes ) |   little endian
/// ```
/// `options` is what the fold decides on (today empty: reserved for producer, sequence, expected
/// offset and fence). A record's bytes are opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordBatch {
    pub records: Vec<Bytes>,
}

/// A payload that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payload of {length} bytes is no {what}")]
pub struct BadPayload {
    pub what: &'static str,
    pub length: usize,
}

impl RecordBatch {
    pub fn encode(&self) -> Bytes {
        let bytes: usize = self.records.iter().map(|r| 4 + r.len()).sum();
        let mut out = BytesMut::with_capacity(8 + bytes);
        out.put_u32_le(0);
        out.put_u32_le(self.records.len() as u32);
        for record in &self.records {
            out.put_u32_le(record.len() as u32);
            out.put_slice(record);
        }
        out.freeze()
    }

    pub fn decode(payload: &Bytes) -> Result<RecordBatch, BadPayload> {
        let bad = || BadPayload { what: "record batch", length: payload.len() };
        let mut rest = payload.clone();
        let options = take_u32(&mut rest).ok_or_else(bad)? as usize;
        // Options this version does not know could change what the entry means: refuse, not guess.
        if options != 0 {
            return Err(bad());
        }
        let count = take_u32(&mut rest).ok_or_else(bad)? as usize;
        if count > rest.len() / 4 {
            return Err(bad());
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let length = take_u32(&mut rest).ok_or_else(bad)? as usize;
            if length > rest.len() {
                return Err(bad());
            }
            records.push(rest.split_to(length));
        }
        if rest.is_empty() { Ok(RecordBatch { records }) } else { Err(bad()) }
    }
}

fn take_u32(rest: &mut Bytes) -> Option<u32> {
    if rest.len() < 4 {
        return None;
    }
    let head = rest.split_to(4);
    Some(u32::from_le_bytes(head[..].try_into().ok()?))
}

/// The payload of [`Kind::Command`]: `| tag u8 | fields, u64 little endian each |`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Records below this offset need not be kept.
    Trim { first_offset: u64 },
}

impl Command {
    pub fn encode(self) -> Bytes {
        match self {
            Command::Trim { first_offset } => {
                let mut out = BytesMut::with_capacity(9);
                out.put_u8(1);
                out.put_u64_le(first_offset);
                out.freeze()
            }
        }
    }

    pub fn decode(payload: &[u8]) -> Result<Command, BadPayload> {
        match payload {
            [1, rest @ ..] if rest.len() == 8 => {
                Ok(Command::Trim { first_offset: u64::from_le_bytes(rest.try_into().expect("eight bytes")) })
            }
            _ => Err(BadPayload { what: "command", length: payload.len() }),
        }
    }
}
