//! openraft's types, and how they become entries of the log and back.

use crate::rt::Rt;
use bytes::Bytes;
use openraft::entry::RaftEntry as _;
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, StoredMembershipOf};
use seedlog_log::{BadPayload, Checkpoint, Entry, EntryId, Kind, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Standard Raft: a log id is (term, index), so that at most one leader exists per term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Proposal;
    type R = Response;
    type NodeId = u64;
    type Node = Peer;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, u64, Peer>;
    type Entry = openraft::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = Rt;
    type Responder<T: Send + 'static> = openraft::impls::OneshotResponder<Self, T>;
    type Batch<T: Send + 'static> = openraft::impls::InlineBatch<T>;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub type RaftEntry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub type Payload = openraft::EntryPayload<Proposal, u64, Peer>;
pub type LogId = LogIdOf<TypeConfig>;
pub type Membership = openraft::Membership<u64, Peer>;
pub type StoredMembership = StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
pub type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Checkpoint>;
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;
type CommittedLeaderId = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;

/// What the membership says of a node. The address is where it was last known to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peer {
    /// What people call it.
    #[serde(default)]
    pub name: String,
    pub rpc_addr: String,
}

/// What a client asks for: an entry without its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub command: bool,
    /// The proposing leader's clock, milliseconds since 1970.
    pub time_ms: u64,
    #[serde(with = "serde_bytes_as_vec")]
    pub payload: Bytes,
}

impl Proposal {
    fn kind(&self) -> Kind {
        if self.command { Kind::Command } else { Kind::Records }
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind(), self.payload.len())
    }
}

/// What applying the entry gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub outcome: Outcome,
}

mod serde_bytes_as_vec {
    use super::{Bytes, Deserialize, Serialize};

    pub fn serialize<S: serde::Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().serialize(to)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        Vec::<u8>::deserialize(from).map(Bytes::from)
    }
}

pub fn log_id(id: EntryId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term), id.index)
}

pub fn entry_id(id: &LogId) -> EntryId {
    EntryId { term: id.leader_id.term, index: id.index }
}

pub fn to_log(entry: &RaftEntry) -> Entry {
    let (kind, time_ms, payload) = match &entry.payload {
        Payload::Blank => (Kind::Blank, 0, Bytes::new()),
        Payload::Normal(proposal) => (proposal.kind(), proposal.time_ms, proposal.payload.clone()),
        Payload::Membership(membership) => (Kind::Membership, 0, encode_membership(membership)),
    };
    Entry { id: entry_id(&entry.log_id), kind, time_ms, payload }
}

/// # Errors
/// If it is a membership entry whose payload does not decode.
pub fn from_log(entry: Entry) -> Result<RaftEntry, BadPayload> {
    let Entry { id, kind, time_ms, payload } = entry;
    let payload = match kind {
        Kind::Blank => Payload::Blank,
        Kind::Membership => Payload::Membership(decode_membership(&payload)?),
        Kind::Records | Kind::Command => Payload::Normal(Proposal { command: kind == Kind::Command, time_ms, payload }),
    };
    Ok(RaftEntry::new(log_id(id), payload))
}

/// JSON: memberships are rare, small, and worth being readable in a hex dump.
pub fn encode_membership(membership: &Membership) -> Bytes {
    serde_json::to_vec(membership).expect("numbers and strings always encode").into()
}

/// # Errors
/// If it does not decode.
pub fn decode_membership(payload: &[u8]) -> Result<Membership, BadPayload> {
    serde_json::from_slice(payload).map_err(|_| BadPayload { what: "membership", length: payload.len() })
}

/// The membership as of a checkpoint.
///
/// # Errors
/// If the checkpoint's does not decode.
pub fn stored_membership(checkpoint: &Checkpoint) -> Result<StoredMembership, BadPayload> {
    match checkpoint.membership_id {
        None => Ok(StoredMembership::default()),
        Some(id) => Ok(StoredMembership::new(Some(log_id(id)), decode_membership(&checkpoint.membership)?)),
    }
}

/// # Errors
/// If the checkpoint's membership does not decode.
pub fn snapshot_of(checkpoint: Checkpoint) -> Result<Snapshot, BadPayload> {
    let meta =
        SnapshotMeta { last_log_id: checkpoint.last.map(log_id), last_membership: stored_membership(&checkpoint)? };
    Ok(Snapshot { meta, snapshot: checkpoint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_kind_of_entry_comes_back_from_the_log_as_it_went_in() {
        let id = log_id(EntryId { term: 3, index: 7 });
        let proposal = |command| Proposal { command, time_ms: 5, payload: Bytes::from_static(b"payload") };
        let membership =
            Membership::from(BTreeMap::from([(u64::MAX, Peer { name: "a".into(), rpc_addr: "a:1".into() })]));
        let payloads = [
            Payload::Blank,
            Payload::Normal(proposal(false)),
            Payload::Normal(proposal(true)),
            Payload::Membership(membership),
        ];
        for payload in payloads {
            let entry = RaftEntry::new(id, payload);
            assert_eq!(from_log(to_log(&entry)), Ok(entry));
        }
    }

    #[test]
    fn a_membership_that_does_not_decode_is_an_error_not_a_panic() {
        let entry =
            Entry { id: EntryId::default(), kind: Kind::Membership, time_ms: 0, payload: Bytes::from_static(b"{") };
        assert!(from_log(entry).is_err());
    }
}
