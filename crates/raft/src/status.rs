//! What a node says of itself.

use crate::applied::Applied;
use crate::types::TypeConfig;
use openraft::{RaftMetrics, ServerState};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Learner,
    Follower,
    Candidate,
    Leader,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub node_id: u64,
    pub role: Role,
    pub leader_id: Option<u64>,
    pub term: u64,
    pub last_index: Option<u64>,
    pub committed_index: Option<u64>,
    pub applied_index: Option<u64>,
    pub first_offset: u64,
    pub next_offset: u64,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node_id: u64,
    pub rpc_addr: String,
    pub voter: bool,
}

pub fn status(metrics: &RaftMetrics<TypeConfig>, applied: Applied, stopped: bool) -> Status {
    let membership = metrics.membership_config.membership();
    let members = membership.nodes().map(|(id, peer)| Member {
        node_id: *id,
        rpc_addr: peer.rpc_addr.clone(),
        voter: membership.voter_ids().any(|voter| voter == *id),
    });
    Status {
        node_id: metrics.id,
        role: match metrics.state {
            _ if stopped => Role::Stopped,
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        },
        leader_id: metrics.current_leader.filter(|_| !stopped),
        term: metrics.current_term,
        last_index: metrics.last_log_index,
        committed_index: metrics.local_committed.map(|id| id.index),
        applied_index: applied.last.map(|last| last.index),
        first_offset: applied.first_offset,
        next_offset: applied.next_offset,
        members: members.collect(),
    }
}
