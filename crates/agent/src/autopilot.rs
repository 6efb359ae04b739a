//! Who is a member: gossip says who is there, and the leader, alone, draws the conclusions, one change at a
//! time, each committed before the next. Nothing is concluded from a missed ping: a dead voter stays one for
//! a long grace, and goes only if the others can do without.

use seedlog_gossip::{Member, Members, State};
use seedlog_raft::{ChangeError, LAG_MAX, Node, Peer, Role, Status};
use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::{buggify, select, watch};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// So many vote at most: more make a majority slower, and hardly safer.
const VOTERS_MAX: usize = 7;
/// Who has been dead for so long, or unheard of since this node began to listen, is not about to be heard of.
const NEWS_MAX: Duration = Duration::from_secs(5);
/// A change that was not made is tried again after so long, whatever else happens.
const AGAIN: Duration = Duration::from_millis(500);
/// It looks that often at least, for what nobody tells.
const EVERY: Duration = Duration::from_secs(2);
/// How far a learner is changes with every record: it is looked at so often at most.
const PROGRESS: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    AddLearner(Member),
    /// This learner votes, in the place of a dead voter if there is one.
    Promote {
        node_id: u64,
        name: String,
        replaces: Option<u64>,
    },
    /// To these voters; it was begun and not ended.
    End {
        voters: BTreeSet<u64>,
    },
    Remove {
        node_id: u64,
        why: &'static str,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddLearner(member) => {
                write!(f, "{} ({:016x}) at {} is sent the log", member.name, member.node_id, member.rpc_addr)
            }
            Change::Promote { node_id, name, replaces: None } => {
                write!(f, "{name} ({node_id:016x}) votes: it has caught up")
            }
            Change::Promote { node_id, name, replaces: Some(dead) } => {
                write!(
                    f,
                    "{name} ({node_id:016x}) votes: it has caught up, and takes the place of {dead:016x}, which is dead"
                )
            }
            Change::End { voters } => {
                let voters: Vec<String> = voters.iter().map(|node_id| format!("{node_id:016x}")).collect();
                write!(f, "voters are {}: a change that was begun is ended", voters.join(", "))
            }
            Change::Remove { node_id, why } => write!(f, "{node_id:016x} is taken out: {why}"),
        }
    }
}

/// Until the node stops. It looks when there is news: from gossip, from Raft, of a learner that lacks something of
/// the log, or since a grace is over.
pub async fn follow(node: Node, mut seen: watch::Receiver<Arc<Members>>, grace: Duration) {
    let mut changes = node.changes();
    let mut progress = node.changes();
    loop {
        let members = seen.borrow_and_update().clone();
        let (status, now) = (node.status(), clock::now());
        let change = decide(&status, &members, now, grace);
        let failed = change.is_some();
        if let Some(change) = change
            && !buggify!("autopilot_hesitates")
            && carry_out(&node, change).await
        {
            continue;
        }
        let again = if failed { Some(now + AGAIN) } else { grace_over(&status, &members, now, grace) };
        let learner_moved = async {
            progress.anything_changed().await;
            clock::sleep(PROGRESS).await;
        };
        select! {
            _ = node.stopped() => return,
            changed = seen.changed() => if changed.is_err() {
                return;
            },
            () = changes.cluster_changed() => {}
            () = learner_moved, if is_sent_the_log(&status, &members) => {}
            () = clock::sleep_until(again.map_or(now + EVERY, |again| again.min(now + EVERY))) => {}
        }
    }
}

/// Whether a learner is there, so that how far it is decides something.
fn is_sent_the_log(status: &Status, seen: &Members) -> bool {
    let is_alive = |node_id| seen.get(node_id).is_some_and(|known| known.is_alive());
    status.role == Role::Leader && status.members.iter().any(|member| !member.voter && is_alive(member.node_id))
}

/// When the next member has been gone for the whole grace.
fn grace_over(status: &Status, seen: &Members, now: Instant, grace: Duration) -> Option<Instant> {
    if status.role != Role::Leader {
        return None;
    }
    let others = status.members.iter().filter(|member| member.node_id != status.node_id);
    let gone = others.filter_map(|member| Some(gone(seen, member.node_id)?.0 + grace));
    // One whose grace is over and who is still a member is needed: that changes by gossip's news.
    gone.filter(|over| *over > now).min()
}

/// Since when a member is not there, and whether it said goodbye.
fn gone(seen: &Members, node_id: u64) -> Option<(Instant, bool)> {
    match seen.get(node_id).map(|known| known.state) {
        Some(State::Alive) => None,
        Some(State::Left { at }) => Some((at, true)),
        Some(State::Dead { since }) => Some((since, false)),
        // Of one that died before this node began to listen, nobody tells.
        None => Some((seen.started, false)),
    }
}

/// Whether there may be more to do at once.
async fn carry_out(node: &Node, change: Change) -> bool {
    let done = match &change {
        Change::AddLearner(member) => {
            let peer = Peer { name: member.name.clone(), rpc_addr: member.rpc_addr.clone() };
            node.add_learner(member.node_id, peer).await
        }
        Change::Promote { node_id, replaces, .. } => {
            node.change_voters(BTreeSet::from([*node_id]), replaces.iter().copied().collect()).await
        }
        Change::End { .. } => node.change_voters(BTreeSet::new(), BTreeSet::new()).await,
        Change::Remove { node_id, .. } => node.remove_at_once(*node_id).await,
    };
    match done {
        Ok(()) => tracing::info!(%change, "the membership has changed"),
        // Somebody has asked for another one, which may be seen half done.
        Err(ChangeError::InProgress) => tracing::debug!(%change, "another change of the membership is under way"),
        // Another leader, or later.
        Err(ref error) => tracing::warn!(%error, %change, "a change of the membership was not made"),
    }
    done.is_ok()
}

/// What to do next, if this node leads.
fn decide(status: &Status, seen: &Members, now: Instant, grace: Duration) -> Option<Change> {
    if status.role != Role::Leader {
        return None;
    }
    let me = status.node_id;
    let member = |node_id: u64| status.members.iter().find(|member| member.node_id == node_id);
    let is_alive = |node_id: u64| node_id == me || seen.get(node_id).is_some_and(|known| known.is_alive());
    let voters: BTreeSet<u64> = status.members.iter().filter(|m| m.voter).map(|m| m.node_id).collect();
    let alive = |of: &BTreeSet<u64>| of.iter().filter(|node_id| is_alive(**node_id)).count();
    let can_do_without = |gone: u64| {
        let rest: BTreeSet<u64> = voters.iter().copied().filter(|node_id| *node_id != gone).collect();
        !rest.is_empty() && alive(&rest) > rest.len() / 2
    };

    if let Some(voters) = &status.halfway_to {
        return Some(Change::End { voters: voters.clone() });
    }
    for known in seen.others.values().filter(|known| known.is_alive()) {
        let stranger = &known.member;
        let is_ours = stranger.cluster_id == seen.me.cluster_id && stranger.cluster_id != 0;
        if is_ours && stranger.joining && member(stranger.node_id).is_none() {
            return Some(Change::AddLearner(stranger.clone()));
        }
    }
    // A learner that is there and has caught up votes: in place of a dead voter of its name, if there is one.
    let last = status.last_index.unwrap_or(0);
    for learner in status.members.iter().filter(|member| !member.voter && is_alive(member.node_id)) {
        if learner.matched_index.is_none_or(|matched| matched + LAG_MAX < last) {
            continue;
        }
        let namesake = status.members.iter().find(|m| m.voter && m.name == learner.name && !is_alive(m.node_id));
        let replaces = namesake.map(|dead| dead.node_id);
        if replaces.is_some() || voters.len() < VOTERS_MAX {
            return Some(Change::Promote { node_id: learner.node_id, name: learner.name.clone(), replaces });
        }
    }
    for member in status.members.iter().filter(|member| member.node_id != me) {
        let node_id = member.node_id;
        let Some((since, left)) = gone(seen, node_id) else { continue };
        if member.voter && !can_do_without(node_id) {
            continue;
        }
        if left {
            return Some(Change::Remove { node_id, why: "it has left" });
        }
        // It was not known to be dead yet when another one of its name began to vote.
        let namesake = |m: &&seedlog_raft::Member| m.voter && m.node_id != node_id && m.name == member.name;
        let is_replaced = status.members.iter().filter(namesake).any(|m| is_alive(m.node_id));
        if is_replaced && now - since >= NEWS_MAX {
            return Some(Change::Remove { node_id, why: "it is dead, and another voter has its name" });
        }
        if now - since >= grace {
            return Some(Change::Remove { node_id, why: "it has been silent for longer than the grace" });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_gossip::Known;
    use std::collections::BTreeMap;

    const HOUR: Duration = Duration::from_secs(3600);

    fn member(node_id: u64) -> Member {
        Member {
            node_id,
            name: format!("node-{}", node_id % 10),
            rpc_addr: format!("10.0.0.{node_id}:8400"),
            gossip_addr: ([10, 0, 0, node_id as u8], 8401).into(),
            cluster_id: 7,
            joining: true,
            version: String::new(),
        }
    }

    /// Node 1 leads. Members: (node, votes); others: (node, state).
    fn world(members: &[(u64, bool)], others: &[(u64, State)], started: Instant) -> (Status, Members) {
        let members = members.iter().map(|(node_id, voter)| seedlog_raft::Member {
            node_id: *node_id,
            name: member(*node_id).name,
            rpc_addr: String::new(),
            voter: *voter,
            matched_index: Some(100),
        });
        let status = Status {
            node_id: 1,
            role: Role::Leader,
            leader_id: Some(1),
            term: 1,
            last_index: Some(100),
            committed_index: Some(100),
            applied_index: Some(100),
            first_offset: 0,
            next_offset: 0,
            members: members.collect(),
            halfway_to: None,
        };
        let known = |(id, state): &(u64, State)| (*id, Known { member: member(*id), state: *state, incarnation: 1 });
        let others = others.iter().map(known).collect();
        (status, Members { me: member(1), started, others, join: BTreeMap::new() })
    }

    #[tokio::test]
    async fn a_stranger_of_the_cluster_becomes_a_learner_and_one_of_another_does_not() {
        let now = clock::now();
        let (status, mut seen) = world(&[(1, true)], &[(2, State::Alive)], now);
        assert_eq!(decide(&status, &seen, now, HOUR), Some(Change::AddLearner(member(2))));
        seen.others.get_mut(&2).unwrap().member.cluster_id = 8;
        assert_eq!(decide(&status, &seen, now, HOUR), None);
        seen.others.get_mut(&2).unwrap().member.cluster_id = 0;
        assert_eq!(decide(&status, &seen, now, HOUR), None);
    }

    #[tokio::test]
    async fn who_was_taken_out_is_not_taken_in_again() {
        let now = clock::now();
        let (status, mut seen) = world(&[(1, true)], &[(2, State::Alive)], now);
        seen.others.get_mut(&2).unwrap().member.joining = false;
        assert_eq!(decide(&status, &seen, now, HOUR), None);
    }

    #[tokio::test]
    async fn a_learner_votes_once_it_has_caught_up() {
        let now = clock::now();
        let (mut status, seen) = world(&[(1, true), (2, false)], &[(2, State::Alive)], now);
        let promoted = Change::Promote { node_id: 2, name: "node-2".into(), replaces: None };
        assert_eq!(decide(&status, &seen, now, HOUR), Some(promoted));
        for behind in [None, Some(10)] {
            status.members[1].matched_index = behind;
            assert_eq!(decide(&status, &seen, now, HOUR), None);
        }
    }

    #[tokio::test]
    async fn a_stranger_with_a_dead_voters_name_takes_its_place_in_one_change() {
        let now = clock::now();
        // 13 has the name of 3.
        let members = [(1, true), (2, true), (3, true), (13, false)];
        let others = [(2, State::Alive), (3, State::Dead { since: now }), (13, State::Alive)];
        let (status, seen) = world(&members, &others, now);
        let promoted = Change::Promote { node_id: 13, name: "node-3".into(), replaces: Some(3) };
        assert_eq!(decide(&status, &seen, now, HOUR), Some(promoted));
    }

    #[tokio::test]
    async fn a_dead_voter_goes_soon_if_another_one_of_its_name_votes_already() {
        let now = clock::now();
        // 13 has the name of 3, which was not known to be dead when 13 had caught up.
        let members = [(1, true), (2, true), (3, true), (13, true)];
        for state in [Some(State::Dead { since: now }), None] {
            let mut others = vec![(2, State::Alive), (13, State::Alive)];
            others.extend(state.map(|state| (3, state)));
            let (status, seen) = world(&members, &others, now);
            assert_eq!(decide(&status, &seen, now, HOUR), None);
            let later = decide(&status, &seen, now + NEWS_MAX, HOUR);
            assert!(matches!(later, Some(Change::Remove { node_id: 3, .. })), "{later:?}");
        }
        // Both are there: somebody gave two nodes one name.
        let (status, seen) = world(&members, &[(2, State::Alive), (3, State::Alive), (13, State::Alive)], now);
        assert_eq!(decide(&status, &seen, now + HOUR, HOUR), None);
    }

    #[tokio::test]
    async fn a_dead_voter_stays_for_the_grace_and_one_that_left_goes_at_once() {
        let now = clock::now();
        let members = [(1, true), (2, true), (3, true)];
        let state = |state| world(&members, &[(2, State::Alive), (3, state)], now);
        let (status, seen) = state(State::Dead { since: now });
        assert_eq!(decide(&status, &seen, now + HOUR / 2, HOUR), None);
        assert!(matches!(decide(&status, &seen, now + HOUR, HOUR), Some(Change::Remove { node_id: 3, .. })));
        let (status, seen) = state(State::Left { at: now });
        assert!(matches!(decide(&status, &seen, now, HOUR), Some(Change::Remove { node_id: 3, .. })));
        // Nobody ever told of it: it is counted from when this node began to listen.
        let (status, seen) = world(&members, &[(2, State::Alive)], now);
        assert_eq!(decide(&status, &seen, now + HOUR / 2, HOUR), None);
        assert!(matches!(decide(&status, &seen, now + HOUR, HOUR), Some(Change::Remove { node_id: 3, .. })));
    }

    #[tokio::test]
    async fn it_looks_again_when_the_next_grace_is_over() {
        let now = clock::now();
        let members = [(1, true), (2, true), (3, true), (4, true)];
        let dead = |ago| State::Dead { since: now - ago };
        let (mut status, seen) = world(&members, &[(2, State::Alive), (3, dead(HOUR / 4)), (4, dead(HOUR / 2))], now);
        assert_eq!(grace_over(&status, &seen, now, HOUR), Some(now + HOUR / 2));
        assert_eq!(grace_over(&status, &seen, now + HOUR / 2, HOUR), Some(now + 3 * HOUR / 4));
        assert_eq!(grace_over(&status, &seen, now + HOUR, HOUR), None);
        status.role = Role::Follower;
        assert_eq!(grace_over(&status, &seen, now, HOUR), None);
    }

    #[tokio::test]
    async fn nobody_is_taken_out_if_no_live_majority_remains() {
        let now = clock::now();
        let dead = State::Dead { since: now };
        let members = [(1, true), (2, true), (3, true), (4, true)];
        let (status, seen) = world(&members, &[(2, State::Alive), (3, dead), (4, dead)], now);
        assert!(matches!(decide(&status, &seen, now + HOUR, HOUR), Some(Change::Remove { node_id: 3, .. })));
        let (status, seen) = world(&members, &[(2, dead), (3, dead), (4, dead)], now);
        assert_eq!(decide(&status, &seen, now + HOUR, HOUR), None);
    }

    #[tokio::test]
    async fn a_change_that_was_left_half_done_is_ended_before_anything_else() {
        let now = clock::now();
        let (mut status, seen) =
            world(&[(1, true), (2, true), (3, true)], &[(2, State::Alive), (4, State::Alive)], now);
        status.halfway_to = Some(BTreeSet::from([1, 2]));
        assert_eq!(decide(&status, &seen, now, HOUR), Some(Change::End { voters: BTreeSet::from([1, 2]) }));
    }

    #[tokio::test]
    async fn only_the_leader_decides() {
        let now = clock::now();
        let (mut status, seen) = world(&[(1, true)], &[(2, State::Alive)], now);
        status.role = Role::Follower;
        assert_eq!(decide(&status, &seen, now, HOUR), None);
    }
}
