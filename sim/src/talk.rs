//! What the machines say to each other, in a few words, for who looks at a run.

use crate::event::Subject;
use crate::timeline::Message;
use crate::world::{World, now_ns};
use seedlog_api::raft_v1 as raft;
use seedlog_api::v1 as api;
use seedlog_runtime::sim;
use std::any::Any;
use std::net::{IpAddr, SocketAddr};

/// Writes down each message of this world. Nothing in it changes by that.
pub fn observe(world: &World) {
    let world = world.clone();
    sim::observe_messages(move |message| {
        let (Some(from), Some(to)) = (subject(message.from), subject(message.to)) else { return };
        let method = message.path.rsplit('/').next().unwrap_or_default();
        let said = match message.body {
            Ok(body) => words(body),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        };
        let text = match (message.is_answer, said.is_empty()) {
            (_, true) => method.to_owned(),
            (false, _) => format!("{method} {said}"),
            (true, _) => format!("{method} answered {said}"),
        };
        let kind = kind(message.path, message.is_answer, &message.body.ok());
        let message = Message { at_ns: now_ns(), from, to, is_answer: message.is_answer, kind, text };
        if let Some(recording) = &mut world.lock().recording {
            recording.message(message);
        }
    });
}

/// Whose address it is: `machine.rs` and `workload/mod.rs` say who gets which.
pub fn subject(address: SocketAddr) -> Option<Subject> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    match ip.octets() {
        [10, 1, _, number] => Some(Subject::Node(number.into())),
        [10, 0, high, low] => Some(Subject::Client(u32::from(high - 1) * 200 + u32::from(low) - 1)),
        _ => None,
    }
}

fn kind(path: &str, is_answer: bool, body: &Option<&dyn Any>) -> &'static str {
    let is_heartbeat = || {
        let append = body.and_then(|body| body.downcast_ref::<raft::AppendRequest>());
        append.is_some_and(|append| append.entries.is_empty())
    };
    match path.trim_start_matches('/') {
        "raft.v1.RaftService/Append" if is_answer => "append answer",
        "raft.v1.RaftService/Append" if is_heartbeat() => "heartbeat",
        "raft.v1.RaftService/Append" | "raft.v1.RaftService/InstallSnapshot" => "append",
        "raft.v1.RaftService/Vote" | "raft.v1.RaftService/PreVote" | "raft.v1.RaftService/TransferLeader" => "election",
        path if path.starts_with("raft.v1.") => "peer",
        _ => "client",
    }
}

fn words(body: &dyn Any) -> String {
    macro_rules! first_of {
        ($($name:ident: $message:ty => $words:expr),* $(,)?) => {
            $(if let Some($name) = body.downcast_ref::<$message>() { return $words; })*
        };
    }
    let id = |id: &Option<raft::LogId>| id.as_ref().map_or("none".to_owned(), |id| format!("{}-{}", id.term, id.index));
    let ballot = |ballot: &Option<raft::Ballot>| {
        let words = |ballot: &raft::Ballot| {
            format!("term {}{}", ballot.term, if ballot.committed { ", which it leads" } else { "" })
        };
        ballot.as_ref().map_or(String::new(), words)
    };
    first_of! {
        m: raft::AppendRequest => format!(
            "{}: {} entries after {}, committed {}", ballot(&m.leader), m.entries.len(), id(&m.previous), id(&m.committed)
        ),
        m: raft::AppendResponse => match &m.result {
            Some(raft::append_response::Result::Matched(matched)) => format!("matched up to {}", id(&matched.last)),
            Some(raft::append_response::Result::Conflict(at)) => format!("no entry {}", id(&Some(*at))),
            Some(raft::append_response::Result::Higher(higher)) => format!("higher {}", ballot(&Some(*higher))),
            None => String::new(),
        },
        m: raft::VoteRequest => format!("{}, log up to {}", ballot(&m.candidate), id(&m.last)),
        m: raft::VoteResponse => format!("{}, {}", if m.granted { "granted" } else { "not granted" }, ballot(&m.ballot)),
        m: raft::InstallSnapshotRequest => format!("{}, {} bytes", ballot(&m.leader), m.checkpoint.len()),
        m: raft::InstallSnapshotResponse => ballot(&m.ballot),
        m: raft::TransferLeaderRequest => format!("to {:x}, {}", m.to, ballot(&m.leader)),
        m: raft::TransferLeaderResponse => m.refused.clone(),
        m: raft::ReadIndexResponse => id(&m.read),
        m: raft::ForwardRequest => format!("{} of {} bytes", if m.command { "command" } else { "records" }, m.payload.len()),
        m: raft::ForwardResponse => match &m.result {
            Some(raft::forward_response::Result::Applied(applied)) => String::from_utf8_lossy(&applied.outcome).into_owned(),
            Some(raft::forward_response::Result::Failure(failure)) => failure.reason.clone(),
            None => String::new(),
        },
        m: raft::ChangeRequest => format!("{:?}", m.change),
        m: raft::ChangeResponse => m.failure.as_ref().map_or("done".to_owned(), |failure| failure.reason.clone()),
        m: raft::RoomResponse => format!("{} bytes", m.bytes),
        m: api::ProduceRequest => {
            let sequence = if m.producer_id.is_empty() { String::new() } else { format!(", sequence {} of {}", m.sequence, m.producer_id) };
            format!("{} records{sequence}", m.records.len())
        },
        m: api::ProduceResponse => format!("offset {}{}", m.offset, if m.repeated { ", again" } else { "" }),
        m: api::ConsumeRequest => format!("from offset {}", m.offset),
        m: api::ConsumeResponse => {
            let last = m.records.last().or(m.record.as_ref());
            last.map_or(String::new(), |last| format!("{} records up to offset {}", m.records.len().max(1), last.offset))
        },
    }
    String::new()
}

/// A copy of what one node asks of another, if to be asked twice must make no difference. To be asked to lead does.
pub fn copy(message: &dyn Any) -> Option<sim::AnyMessage> {
    macro_rules! one_of {
        ($($message:ty),* $(,)?) => {
            $(if let Some(message) = message.downcast_ref::<$message>() {
                return Some(Box::new(message.clone()));
            })*
        };
    }
    one_of![
        raft::AppendRequest,
        raft::VoteRequest,
        raft::PreVoteRequest,
        raft::InstallSnapshotRequest,
        raft::ReadIndexRequest,
        raft::RoomRequest,
        raft::EntriesRequest,
    ];
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whose_it_is_before_and_after_a_move() {
        let subject = |address: &str| subject(address.parse().unwrap());
        assert_eq!(subject("10.1.0.3:8400"), Some(Subject::Node(3)));
        assert_eq!(subject("10.1.7.3:999"), Some(Subject::Node(3)));
        assert_eq!(subject("10.0.1.1:7"), Some(Subject::Client(0)));
        assert_eq!(subject("10.0.3.101:7"), Some(Subject::Client(500)));
        assert_eq!(subject("127.0.0.1:7"), None);
    }

    #[test]
    fn a_heartbeat_is_an_append_without_entries() {
        let heartbeat = raft::AppendRequest::default();
        let append = raft::AppendRequest { entries: vec![raft::Entry::default()], ..Default::default() };
        let kind = |path: &str, is_answer, body: &dyn Any| kind(path, is_answer, &Some(body));
        assert_eq!(kind("/raft.v1.RaftService/Append", false, &heartbeat), "heartbeat");
        assert_eq!(kind("/raft.v1.RaftService/Append", false, &append), "append");
        assert_eq!(kind("/raft.v1.RaftService/Append", true, &append), "append answer");
        assert_eq!(kind("/raft.v1.RaftService/PreVote", false, &append), "election");
        assert_eq!(kind("/log.v1.Log/Produce", false, &append), "client");
        assert_eq!(words(&append), ": 1 entries after none, committed none");
    }
}
