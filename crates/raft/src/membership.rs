//! Who belongs to the cluster. Any node takes the request; the leader carries it out, one change at a time,
//! and what it answers is committed.

use crate::error::ChangeError;
use crate::leader::Leading;
use crate::node::Node;
use crate::types::{Peer, TypeConfig};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use seedlog_api::raft_v1 as v1;
use seedlog_api::raft_v1::change_request::Change;
use seedlog_runtime::{clock, select};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// A change needs a majority; without one it is given up, and its outcome is unknown.
const CHANGE_MAX: Duration = Duration::from_secs(10);
/// Another change is over by then, or has no majority. With the change itself, no longer than who asks waits.
const TURN_MAX: Duration = Duration::from_secs(5);
/// A new leader must be there by then.
const TRANSFER_MAX: Duration = Duration::from_secs(5);

/// The right to change the membership. A change of voters is two entries of the log, and who saw the first one alone
/// would take it for a change that nobody ends any more.
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held for as long as the change takes")] MutexGuard<'a, ()>);

impl Node {
    /// Takes a node in that does not vote yet: it is sent the log. Only the leader does it.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn add_learner(&self, node_id: u64, peer: Peer) -> Result<(), ChangeError> {
        self.learner_by(&self.turn_at_once()?, node_id, peer).await
    }

    /// Lets these members vote, and takes those voters out, in one change; without any, a change that was begun is
    /// ended. Only the leader does it.
    ///
    /// What is asked for is the difference, and never a whole set: between a look at the membership and a change of it
    /// there may have been another change.
    ///
    /// # Errors
    /// [`ChangeError`]; [`ChangeError::InProgress`], at once, while this node makes another change: what was
    /// concluded from the membership may be wrong by the end of that.
    pub async fn change_voters(&self, add: BTreeSet<u64>, remove: BTreeSet<u64>) -> Result<(), ChangeError> {
        self.voters_by(&self.turn_at_once()?, add, remove).await
    }

    /// Takes a member out, whatever it was. Only the leader does it.
    ///
    /// # Errors
    /// As of [`Node::change_voters`].
    pub async fn remove_at_once(&self, node_id: u64) -> Result<(), ChangeError> {
        self.remove_by(&self.turn_at_once()?, node_id).await
    }

    /// Has the leader take a member out, whatever it was, when that has ended what other change it makes.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn remove_member(&self, node_id: u64) -> Result<(), ChangeError> {
        self.at_the_leader(Change::Remove(node_id)).await
    }

    /// Hands the leadership to this voter, or to the one whose log is furthest.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<(), ChangeError> {
        let furthest = Change::TransferToFurthest(v1::Furthest {});
        self.at_the_leader(to.map_or(furthest, Change::Transfer)).await
    }

    /// Has the leader do it, whoever that is; asked again as long as it is certain that nobody did it.
    pub(crate) async fn at_the_leader(&self, change: Change) -> Result<(), ChangeError> {
        let deadline = clock::now() + TRANSFER_MAX;
        let mut tried = None;
        loop {
            let leading = self.leader_but(tried.as_ref(), deadline).await;
            let done = match (&leading, &change) {
                (Leading::Here, _) => self.carry_out(change.clone()).await,
                (Leading::There(leader), Change::Transfer(to)) if leader.node_id == *to => Ok(()),
                (Leading::There(leader), _) => {
                    self.peers().change(leader, change.clone()).await.map_err(ChangeError::from_failure)
                }
                // Nobody came in time, or this node has stopped.
                (Leading::Nobody, _) => return Err(ChangeError::NotLeader { leader: None }),
            };
            match done {
                Err(ChangeError::NotLeader { .. }) if clock::now() < deadline => tried = Some(leading),
                done => return done,
            }
        }
    }

    /// The leader's part.
    pub(crate) async fn carry_out(&self, change: Change) -> Result<(), ChangeError> {
        match change {
            Change::Remove(node_id) => self.remove_by(&self.turn().await?, node_id).await,
            Change::Transfer(node_id) => self.transfer_here(Some(node_id)).await,
            Change::TransferToFurthest(v1::Furthest {}) => self.transfer_here(None).await,
            Change::Replace(v1::Replace { old, new, rpc_addr, name }) => {
                let stranger = (!rpc_addr.is_empty()).then_some(Peer { name, rpc_addr });
                self.replace_here(old, new, stranger).await
            }
        }
    }

    async fn remove_by(&self, turn: &Turn<'_>, node_id: u64) -> Result<(), ChangeError> {
        let status = self.status();
        let Some(member) = status.members.iter().find(|member| member.node_id == node_id) else {
            return Err(ChangeError::NoMember { node_id });
        };
        if !member.voter {
            return self.change(turn, ChangeMembers::RemoveNodes(BTreeSet::from([node_id]))).await;
        }
        if !status.members.iter().any(|member| member.voter && member.node_id != node_id) {
            return Err(ChangeError::LastVoter { node_id });
        }
        self.voters_by(turn, BTreeSet::new(), BTreeSet::from([node_id])).await
    }

    pub(crate) async fn learner_by(&self, turn: &Turn<'_>, node_id: u64, peer: Peer) -> Result<(), ChangeError> {
        self.change(turn, ChangeMembers::AddNodes(BTreeMap::from([(node_id, peer)]))).await
    }

    pub(crate) async fn voters_by(
        &self,
        turn: &Turn<'_>,
        add: BTreeSet<u64>,
        remove: BTreeSet<u64>,
    ) -> Result<(), ChangeError> {
        let both = vec![ChangeMembers::AddVoterIds(add), ChangeMembers::RemoveVoters(remove)];
        self.change(turn, ChangeMembers::Batch(both)).await
    }

    /// Once this node makes no other change.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, ChangeError> {
        let turn = clock::timeout(TURN_MAX, self.changing().lock()).await;
        turn.map(Turn).map_err(|_| ChangeError::InProgress)
    }

    fn turn_at_once(&self) -> Result<Turn<'_>, ChangeError> {
        self.changing().try_lock().map(Turn).map_err(|_| ChangeError::InProgress)
    }

    pub(crate) async fn transfer_here(&self, to: Option<u64>) -> Result<(), ChangeError> {
        let status = self.status();
        let me = status.node_id;
        if status.leader_id != Some(me) {
            return Err(ChangeError::NotLeader { leader: None });
        }
        let others = || status.members.iter().filter(|member| member.voter && member.node_id != me);
        let chosen = match to {
            Some(to) if to == me => return Ok(()),
            Some(to) => others().find(|member| member.node_id == to),
            // The first of those that are equally far.
            None => others().rev().max_by_key(|member| member.matched_index),
        };
        let Some(to) = chosen.map(|member| member.node_id) else {
            return Err(to.map_or(ChangeError::LastVoter { node_id: me }, |node_id| ChangeError::NoVoter { node_id }));
        };
        self.handing_over().fetch_max(status.term, Ordering::Relaxed);
        self.raft()
            .trigger()
            .transfer_leader(to)
            .await
            .map_err(|fatal| ChangeError::Stopped(self.stopped_by(&fatal)))?;
        let mut seen = self.raft().server_metrics();
        let other_leads = async {
            loop {
                match seen.borrow_watched().current_leader {
                    Some(leader) if leader != me => return Some(leader),
                    _ => {}
                }
                if seen.changed().await.is_err() {
                    return None;
                }
            }
        };
        match clock::timeout(TRANSFER_MAX, other_leads).await {
            Ok(Some(leader)) if leader == to => Ok(()),
            Ok(Some(leader)) => {
                Err(ChangeError::Refused { reason: format!("node {leader:016x} was faster, and leads now") })
            }
            Ok(None) | Err(_) => {
                Err(ChangeError::Unknown { reason: format!("node {to:016x} does not lead after {TRANSFER_MAX:?}") })
            }
        }
    }

    async fn change(&self, _: &Turn<'_>, change: ChangeMembers<u64, Peer>) -> Result<(), ChangeError> {
        // Voters that are none any more go; nothing is kept that nobody asked to be kept.
        let changed = select! {
            // It may have been sent.
            reason = self.stopped() => return Err(ChangeError::Unknown { reason: reason.to_string() }),
            changed = clock::timeout(CHANGE_MAX, self.raft().change_membership(change, false)) => changed,
        };
        match changed {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.change_error(error)),
            Err(late) => Err(ChangeError::Unknown { reason: late.to_string() }),
        }
    }

    fn change_error(&self, error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ChangeError {
        match error {
            RaftError::Fatal(fatal) => ChangeError::Unknown { reason: self.stopped_by(&fatal).to_string() },
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                ChangeError::NotLeader { leader: crate::leader::hint(forward) }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))) => {
                ChangeError::InProgress
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(refused)) => {
                ChangeError::Refused { reason: refused.to_string() }
            }
            RaftError::APIError(unknown) => ChangeError::Unknown { reason: unknown.to_string() },
        }
    }
}
