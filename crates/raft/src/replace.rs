//! One node takes another one's place: a voter goes and one that does not vote yet becomes one, in a single
//! change, so that there are never fewer voters in between.
//!
//! Here "alive" is what the leader itself hears: an answer to a heartbeat within the time after which a follower
//! would stand for election. Gossip is not asked.

use crate::error::ChangeError;
use crate::node::Node;
use crate::status::Status;
use crate::types::Peer;
use openraft::async_runtime::WatchReceiver as _;
use seedlog_api::raft_v1 as v1;
use seedlog_api::raft_v1::change_request::Change;
use seedlog_runtime::{clock, select};
use std::collections::BTreeSet;
use std::time::Duration;

/// A log that is at most so many entries behind the leader's has caught up.
pub const LAG_MAX: u64 = 64;
/// One that is sent the whole log takes longer: it is asked for again then.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// Puts `new` in the place of the voter `old`. If `new` is no member, `stranger` says where it is, and it is
    /// taken in first.
    ///
    /// # Errors
    /// [`ChangeError`]. A stranger may be a member by then, and does not vote.
    pub async fn replace_member(&self, old: u64, new: u64, stranger: Option<Peer>) -> Result<(), ChangeError> {
        let Peer { name, rpc_addr } = stranger.unwrap_or_default();
        self.at_the_leader(Change::Replace(v1::Replace { old, new, rpc_addr, name })).await
    }

    pub(crate) async fn replace_here(&self, old: u64, new: u64, stranger: Option<Peer>) -> Result<(), ChangeError> {
        let status = self.leading_status()?;
        let votes = |node_id| status.members.iter().find(|member| member.node_id == node_id).map(|member| member.voter);
        match votes(old) {
            None => return Err(ChangeError::NoMember { node_id: old }),
            Some(false) => return Err(ChangeError::NoPlace { node_id: old }),
            Some(true) => {}
        }
        match (votes(new), stranger) {
            (Some(true), _) => return Err(ChangeError::AlreadyVoter { node_id: new }),
            (Some(false), _) => {}
            (None, Some(peer)) => {
                let turn = self.turn().await?;
                self.learner_by(&turn, new, peer).await?;
            }
            (None, None) => return Err(ChangeError::NoMember { node_id: new }),
        }
        self.caught_up(new).await?;
        let turn = self.turn().await?;
        // It may have become a voter meanwhile, by the leader's own doing.
        let mut voters = voters(&self.leading_status()?);
        voters.remove(&old);
        voters.insert(new);
        let alive = voters.iter().filter(|node_id| self.is_heard(**node_id)).count();
        if alive <= voters.len() / 2 {
            return Err(ChangeError::NoLiveMajority { alive, voters: voters.len() });
        }
        self.voters_by(&turn, BTreeSet::from([new]), BTreeSet::from([old])).await
    }

    fn leading_status(&self) -> Result<Status, ChangeError> {
        let status = self.status();
        if status.leader_id == Some(status.node_id) { Ok(status) } else { Err(ChangeError::NotLeader { leader: None }) }
    }

    /// Returns when the log of `node_id` has caught up, and it is there.
    async fn caught_up(&self, node_id: u64) -> Result<(), ChangeError> {
        let mut metrics = self.raft().metrics();
        let deadline = clock::now() + CATCH_UP_MAX;
        loop {
            let status = self.leading_status()?;
            let matched = status.members.iter().find(|member| member.node_id == node_id);
            let matched = matched.ok_or(ChangeError::NoMember { node_id })?.matched_index;
            let behind = status.last_index.map_or(0, |last| (last + 1).saturating_sub(matched.map_or(0, |at| at + 1)));
            let heard = self.is_heard(node_id);
            if behind <= LAG_MAX && heard {
                return Ok(());
            }
            select! {
                reason = self.stopped() => return Err(ChangeError::Stopped(reason)),
                () = clock::sleep_until(deadline) => {
                    let late = ChangeError::NotCaughtUp { node_id, behind };
                    return Err(if heard { late } else { ChangeError::NotAlive { node_id } });
                }
                changed = metrics.changed() => if changed.is_err() {
                    return Err(ChangeError::Stopped(self.stopped().await));
                },
            }
        }
    }

    /// Whether this leader has heard from `node_id` lately.
    fn is_heard(&self, node_id: u64) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(&node_id).copied().flatten());
        node_id == metrics.id || heard.is_some_and(|heard| heard.is_within(self.config().patience()))
    }
}

fn voters(status: &Status) -> BTreeSet<u64> {
    status.members.iter().filter(|member| member.voter).map(|member| member.node_id).collect()
}
