//! What an observer checks Raft's promises on: nothing here is for clients, and nothing changes anything.

use crate::node::Node;
use crate::types::{Raft, entry_id};
use openraft::ServerState;
use seedlog_log::EntryId;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// The vote on this node's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedVote {
    pub term: u64,
    /// A majority has granted it: `node_id` leads this term.
    pub granted: bool,
    pub node_id: u64,
}

/// One node, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub node_id: u64,
    pub vote: Option<ObservedVote>,
    /// The term it leads, if it thinks that it does.
    pub leads: Option<u64>,
    /// It was to hand the leadership of that term over: it takes no more writes, and everybody may unseat it.
    pub hands_over: bool,
    /// The last entry of its log, durable or not; the last purged one if there is none behind it.
    pub last: Option<EntryId>,
    pub purged: Option<EntryId>,
    /// Index after the last entry that is surely on its disk.
    pub durable_end: u64,
    /// It has lost the end of its log, and gives no votes: as if it still had what it has acknowledged.
    pub marked: bool,
    /// Grows with each truncation, and each snapshot that takes the log's place; from 0 at each start.
    pub cuts: u64,
    pub committed: Option<EntryId>,
    pub applied: Option<EntryId>,
    /// Of the newest membership in its log, committed or not: one set of voters, or two while one replaces the
    /// other.
    pub voters: Vec<Vec<u64>>,
    /// The entry that made them so.
    pub voters_since: Option<EntryId>,
    pub learners: Vec<u64>,
    /// What others have acknowledged to it, if it leads.
    pub matched: BTreeMap<u64, Option<EntryId>>,
}

impl Node {
    /// Room that it has promised: what was let in and may not be written yet.
    pub fn promised_bytes(&self) -> u64 {
        self.space().promised_bytes()
    }

    pub fn observe(&self) -> Observation {
        let raft: &Raft = self.raft();
        let metrics = raft.metrics();
        let metrics = openraft::async_runtime::WatchReceiver::borrow_watched(&metrics);
        let membership = metrics.membership_config.membership();
        let tail = self.store().tail();
        let running = self.stop_reason().is_none();
        Observation {
            node_id: metrics.id,
            vote: self.store().vote().map(|vote| ObservedVote {
                term: vote.leader_id.term,
                granted: vote.committed,
                node_id: vote.leader_id.voted_for,
            }),
            leads: (running && metrics.state == ServerState::Leader).then_some(metrics.current_term),
            hands_over: self.handing_over().load(Ordering::Relaxed) == metrics.current_term,
            last: tail.last(),
            purged: tail.purged(),
            durable_end: tail.durable_end(),
            marked: self.is_marked(),
            cuts: tail.epoch(),
            // Raft publishes what it knows a little later than it tells the log.
            committed: metrics.local_committed.max(self.store().committed()).as_ref().map(entry_id),
            applied: self.progress().now().last,
            voters: membership.get_joint_config().iter().map(|voters| voters.iter().copied().collect()).collect(),
            voters_since: metrics.membership_config.log_id().as_ref().map(entry_id),
            learners: membership.learner_ids().collect(),
            matched: metrics
                .replication
                .iter()
                .flatten()
                .map(|(id, last)| (*id, last.as_ref().map(entry_id)))
                .collect(),
        }
    }
}
