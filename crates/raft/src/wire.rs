//! openraft's messages, and how they become messages of `raft.v1` and back.

use crate::types::{self, LogId, RaftEntry, TypeConfig, Vote};
use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse};
use seedlog_api::raft_v1 as v1;
use seedlog_log::{Entry, EntryId, Identity, Kind};
use tonic::Status;

/// What a message lacks or has wrong. Its sender is of another version, or no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a peer's message without a usable {what}")]
pub struct Malformed {
    pub what: &'static str,
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Status {
        Status::invalid_argument(malformed.to_string())
    }
}

fn need<T>(field: Option<T>, what: &'static str) -> Result<T, Malformed> {
    field.ok_or(Malformed { what })
}

pub fn route(me: Identity, to: u64) -> v1::Route {
    let cluster_id = Bytes::copy_from_slice(&me.cluster_id.to_le_bytes());
    v1::Route { cluster_id, to, from: me.node_id, group: 0 }
}

/// The cluster that a route names, and for whom it is.
///
/// # Errors
/// If it is missing or names no cluster.
pub fn destination(route: Option<&v1::Route>) -> Result<(Identity, u32), Malformed> {
    let route = need(route, "route")?;
    let cluster_id = <[u8; 16]>::try_from(&route.cluster_id[..]).map_err(|_| Malformed { what: "cluster id" })?;
    Ok((Identity { cluster_id: u128::from_le_bytes(cluster_id), node_id: route.to }, route.group))
}

pub fn log_id(id: LogId) -> v1::LogId {
    let EntryId { term, index } = types::entry_id(&id);
    v1::LogId { term, index }
}

pub fn from_log_id(id: v1::LogId) -> LogId {
    types::log_id(EntryId { term: id.term, index: id.index })
}

pub fn ballot(vote: &Vote) -> v1::Ballot {
    v1::Ballot { term: vote.leader_id.term, node_id: vote.leader_id.voted_for, committed: vote.committed }
}

/// # Errors
/// If there is none.
pub fn from_ballot(ballot: Option<v1::Ballot>) -> Result<Vote, Malformed> {
    let v1::Ballot { term, node_id, committed } = need(ballot, "ballot")?;
    Ok(if committed { Vote::new_committed(term, node_id) } else { Vote::new(term, node_id) })
}

fn entry(entry: &RaftEntry) -> v1::Entry {
    of_log(types::to_log(entry))
}

/// As it is in the log, byte for byte.
pub fn of_log(entry: Entry) -> v1::Entry {
    let Entry { id, kind, time_ms, payload } = entry;
    let kind = match kind {
        Kind::Records => v1::Kind::Records,
        Kind::Blank => v1::Kind::Blank,
        Kind::Membership => v1::Kind::Membership,
        Kind::Command => v1::Kind::Command,
    };
    v1::Entry { id: Some(v1::LogId { term: id.term, index: id.index }), kind: kind.into(), time_ms, payload }
}

fn from_entry(entry: v1::Entry) -> Result<RaftEntry, Malformed> {
    types::from_log(for_log(entry)?).map_err(|_| Malformed { what: "membership" })
}

/// # Errors
/// If it has no id, or no kind that is known.
pub fn for_log(entry: v1::Entry) -> Result<Entry, Malformed> {
    let kind = match entry.kind() {
        v1::Kind::Records => Kind::Records,
        v1::Kind::Blank => Kind::Blank,
        v1::Kind::Membership => Kind::Membership,
        v1::Kind::Command => Kind::Command,
        v1::Kind::Unspecified => return Err(Malformed { what: "kind of entry" }),
    };
    let v1::LogId { term, index } = need(entry.id, "entry id")?;
    Ok(Entry { id: EntryId { term, index }, kind, time_ms: entry.time_ms, payload: entry.payload })
}

pub fn append(request: &AppendEntriesRequest<TypeConfig>) -> v1::AppendRequest {
    v1::AppendRequest {
        route: None,
        leader: Some(ballot(&request.vote)),
        previous: request.prev_log_id.map(log_id),
        entries: request.entries.iter().map(entry).collect(),
        committed: request.leader_commit.map(log_id),
        acknowledged: None,
    }
}

/// # Errors
/// If something that belongs there is missing.
pub fn from_append(request: v1::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    Ok(AppendEntriesRequest {
        vote: from_ballot(request.leader)?,
        prev_log_id: request.previous.map(from_log_id),
        entries: request.entries.into_iter().map(from_entry).collect::<Result<_, _>>()?,
        leader_commit: request.committed.map(from_log_id),
    })
}

pub fn appended(result: &StreamAppendResult<TypeConfig>) -> v1::AppendResponse {
    use v1::append_response::Result;
    let result = match result {
        Ok(last) => Result::Matched(v1::Matched { last: last.map(log_id) }),
        Err(StreamAppendError::Conflict(at)) => Result::Conflict(log_id(*at)),
        Err(StreamAppendError::HigherVote(vote)) => Result::Higher(ballot(vote)),
    };
    v1::AppendResponse { result: Some(result) }
}

/// # Errors
/// If it has no result.
pub fn from_appended(response: v1::AppendResponse) -> Result<StreamAppendResult<TypeConfig>, Malformed> {
    use v1::append_response::Result;
    Ok(match need(response.result, "result")? {
        Result::Matched(matched) => Ok(matched.last.map(from_log_id)),
        Result::Conflict(at) => Err(StreamAppendError::Conflict(from_log_id(at))),
        Result::Higher(vote) => Err(StreamAppendError::HigherVote(from_ballot(Some(vote))?)),
    })
}

pub fn vote(request: &VoteRequest<TypeConfig>) -> v1::VoteRequest {
    v1::VoteRequest {
        route: None,
        candidate: Some(ballot(&request.vote)),
        last: request.last_log_id.map(log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

/// # Errors
/// If it names no candidate.
pub fn from_vote(request: v1::VoteRequest) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let mut vote = VoteRequest::new(from_ballot(request.candidate)?, request.last.map(from_log_id));
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

pub fn voted(response: &VoteResponse<TypeConfig>) -> v1::VoteResponse {
    v1::VoteResponse {
        ballot: Some(ballot(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.map(log_id),
    }
}

/// # Errors
/// If it has no ballot.
pub fn from_voted(response: v1::VoteResponse) -> Result<VoteResponse<TypeConfig>, Malformed> {
    Ok(VoteResponse::new(from_ballot(response.ballot)?, response.last.map(from_log_id), response.granted))
}

pub fn pre_vote(request: &VoteRequest<TypeConfig>) -> v1::PreVoteRequest {
    let v1::VoteRequest { candidate, last, .. } = vote(request);
    v1::PreVoteRequest { route: None, candidate, last }
}

/// # Errors
/// As [`from_vote`].
pub fn from_pre_vote(request: v1::PreVoteRequest) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let v1::PreVoteRequest { candidate, last, .. } = request;
    from_vote(v1::VoteRequest { candidate, last, ..v1::VoteRequest::default() })
}

pub fn pre_voted(response: &VoteResponse<TypeConfig>) -> v1::PreVoteResponse {
    let v1::VoteResponse { ballot, granted, last } = voted(response);
    v1::PreVoteResponse { ballot, granted, last }
}

/// # Errors
/// As [`from_voted`].
pub fn from_pre_voted(response: v1::PreVoteResponse) -> Result<VoteResponse<TypeConfig>, Malformed> {
    let v1::PreVoteResponse { ballot, granted, last } = response;
    from_voted(v1::VoteResponse { ballot, granted, last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Membership, Payload, Peer, Proposal};
    use openraft::entry::RaftEntry as _;
    use std::collections::BTreeMap;

    fn at(term: u64, index: u64) -> LogId {
        types::log_id(EntryId { term, index })
    }

    #[test]
    fn an_append_of_every_kind_of_entry_arrives_as_it_was_sent() {
        let proposal = |command| Proposal { command, time_ms: 5, payload: Bytes::from_static(b"payload") };
        let peer = Peer { name: "a".into(), rpc_addr: "a:1".into() };
        let payloads = [
            Payload::Blank,
            Payload::Normal(proposal(false)),
            Payload::Normal(proposal(true)),
            Payload::Membership(Membership::from(BTreeMap::from([(u64::MAX, peer)]))),
        ];
        let entries = (8..).zip(payloads).map(|(index, payload)| RaftEntry::new(at(3, index), payload)).collect();
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 7),
            prev_log_id: Some(at(2, 7)),
            entries,
            leader_commit: Some(at(2, 5)),
        };
        let arrived = from_append(append(&request)).unwrap();
        assert_eq!(format!("{arrived:?}"), format!("{request:?}"));
    }

    #[test]
    fn answers_arrive_as_they_were_given() {
        let results: [StreamAppendResult<TypeConfig>; 4] = [
            Ok(None),
            Ok(Some(at(2, 0))),
            Err(StreamAppendError::Conflict(at(1, 9))),
            Err(StreamAppendError::HigherVote(Vote::new(4, 2))),
        ];
        for result in results {
            assert_eq!(from_appended(appended(&result)), Ok(result));
        }
        for granted in [true, false] {
            let response = VoteResponse::new(Vote::new(4, 2), Some(at(1, 1)), granted);
            assert_eq!(from_voted(voted(&response)).as_ref(), Ok(&response));
            assert_eq!(from_pre_voted(pre_voted(&response)), Ok(response));
        }
        for leadership_transfer in [true, false] {
            let request = VoteRequest { leadership_transfer, ..VoteRequest::new(Vote::new(4, 2), None) };
            assert_eq!(from_vote(vote(&request)), Ok(request));
        }
        let request = VoteRequest::new(Vote::new(4, 2), Some(at(3, 9)));
        assert_eq!(from_pre_vote(pre_vote(&request)), Ok(request));
    }

    #[test]
    fn what_is_missing_is_named_and_never_a_default() {
        assert_eq!(from_append(v1::AppendRequest::default()).unwrap_err(), Malformed { what: "ballot" });
        let entries = vec![v1::Entry { id: Some(v1::LogId::default()), ..v1::Entry::default() }];
        let leader = Some(v1::Ballot::default());
        let request = v1::AppendRequest { leader, entries, ..v1::AppendRequest::default() };
        assert_eq!(from_append(request).unwrap_err(), Malformed { what: "kind of entry" });
        assert_eq!(from_appended(v1::AppendResponse::default()).unwrap_err(), Malformed { what: "result" });
        assert_eq!(from_pre_vote(v1::PreVoteRequest::default()).unwrap_err(), Malformed { what: "ballot" });
        assert_eq!(destination(None).unwrap_err(), Malformed { what: "route" });
        assert_eq!(destination(Some(&v1::Route::default())).unwrap_err(), Malformed { what: "cluster id" });
    }

    #[test]
    fn a_route_says_for_whom_it_is() {
        let me = Identity { cluster_id: u128::MAX - 1, node_id: 3 };
        let destined = destination(Some(&route(me, 4))).unwrap();
        assert_eq!(destined, (Identity { node_id: 4, ..me }, 0));
    }
}
