//! What a node says of itself.

use crate::addresses::Addresses;
use crate::applied::Applied;
use crate::types::TypeConfig;
use openraft::{RaftMetrics, ServerState};
use std::collections::BTreeSet;

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
    /// The voters of a change that is half done: committed, but two majorities still decide, the old voters' and
    /// the new ones'. Whoever began it ends it, or died over it.
    pub halfway_to: Option<BTreeSet<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node_id: u64,
    pub name: String,
    /// The latest address that this node knows.
    pub rpc_addr: String,
    pub voter: bool,
    /// Up to where its log is known to be the leader's. Only the leader knows, and not of itself.
    pub matched_index: Option<u64>,
}

pub fn status(metrics: &RaftMetrics<TypeConfig>, applied: Applied, addresses: &Addresses, stopped: bool) -> Status {
    let membership = metrics.membership_config.membership();
    let matched = |id: &u64| metrics.replication.as_ref()?.get(id)?.as_ref().map(|matched| matched.index);
    let members = membership.nodes().map(|(id, peer)| Member {
        node_id: *id,
        name: peer.name.clone(),
        rpc_addr: addresses.of(*id, &peer.rpc_addr),
        voter: membership.voter_ids().any(|voter| voter == *id),
        matched_index: matched(id),
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
        halfway_to: halfway_to(metrics),
    }
}

fn halfway_to(metrics: &RaftMetrics<TypeConfig>) -> Option<BTreeSet<u64>> {
    let membership = &metrics.membership_config;
    let [_, to] = &membership.membership().get_joint_config()[..] else { return None };
    (*membership.log_id() <= metrics.local_committed).then(|| to.clone())
}
