//! Raft's own promises, on what the nodes say of themselves while the run goes on: one leader a term; votes
//! never go back, not over a restart either; a log's entry at a committed index is the same everywhere; a new
//! leader has all that was committed before it; nothing is applied that is not committed, and nothing is
//! committed that a majority does not have on its disks; whoever has applied a change of the membership knows it.
//!
//! It knows no simulation: [`Raft::see`] is told what is seen, node by node, and says what is wrong with it.

use seedlog_log::EntryId;
use seedlog_raft::{Observation, ObservedVote};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Raft {
    /// Who led which term.
    leaders: BTreeMap<u64, u64>,
    /// The term of the entry at an index, of those that were the last committed or applied somewhere.
    terms: BTreeMap<u64, u64>,
    nodes: BTreeMap<u64, Seen>,
    /// Who votes and who learns since an entry, of memberships that were committed somewhere.
    memberships: BTreeMap<EntryId, (Vec<Vec<u64>>, Vec<u64>)>,
    /// The last entry that was ever said to be committed.
    committed: Option<EntryId>,
    /// What rarely happens, and has since it was asked last, and to whom.
    rare: Vec<(&'static str, u64)>,
}

/// What one node, under its id, has said last.
#[derive(Debug, Clone)]
struct Seen {
    vote: Option<ObservedVote>,
    durable_end: u64,
    last: Option<EntryId>,
    committed: Option<EntryId>,
    cuts: u64,
    leads: Option<u64>,
    learner: bool,
}

impl Raft {
    /// All that run, at one moment.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn see(&mut self, nodes: &[Observation]) -> Result<(), String> {
        for node in nodes {
            self.vote(node)?;
            self.same_life(node);
            self.entries(node)?;
            self.members(node)?;
            let learner = node.learners.contains(&node.node_id);
            // Its acknowledgement counts: nobody is elected by it who has less.
            let had = self.nodes.get(&node.node_id).filter(|_| node.marked).map_or(0, |seen| seen.durable_end);
            let seen = Seen {
                vote: node.vote,
                durable_end: node.durable_end.max(had),
                last: node.last,
                committed: node.committed,
                cuts: node.cuts,
                leads: node.leads,
                learner,
            };
            self.nodes.insert(node.node_id, seen);
        }
        // Newest terms last: what they find was committed before.
        let mut leading: Vec<(u64, &Observation)> = nodes.iter().filter_map(|node| Some((node.leads?, node))).collect();
        leading.sort_by_key(|(term, _)| *term);
        for (term, node) in leading {
            self.leader(term, node)?;
        }
        nodes.iter().try_for_each(|node| self.commit(node))
    }

    /// A process has ended: what it had not written is gone.
    pub fn ended(&mut self, node_id: u64) {
        if let Some(seen) = self.nodes.get_mut(&node_id) {
            (seen.cuts, seen.leads, seen.committed) = (0, None, None);
        }
    }

    /// Its disk is gone, and with it all it has promised.
    pub fn wiped(&mut self, node_id: u64) {
        self.nodes.remove(&node_id);
    }

    /// What rarely happens and did, since the last call, and to which node.
    pub fn take_rare(&mut self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.rare)
    }

    /// The newest term that anybody was seen to lead.
    pub fn term(&self) -> u64 {
        self.leaders.last_key_value().map_or(0, |(term, _)| *term)
    }

    fn vote(&mut self, node: &Observation) -> Result<(), String> {
        let before = self.nodes.get(&node.node_id).and_then(|seen| seen.vote);
        let name = node.node_id;
        match (before, node.vote) {
            (Some(before), None) => return Err(format!("node {name:x} has forgotten its vote {before:?}")),
            (Some(before), Some(now)) => {
                let back = now.term < before.term
                    || now.term == before.term && before.granted && !now.granted
                    || now.term == before.term && before.granted == now.granted && before.node_id != now.node_id;
                if back {
                    return Err(format!("the vote of node {name:x} went back from {before:?} to {now:?}"));
                }
            }
            (None, _) => {}
        }
        match node.vote {
            Some(ObservedVote { term, granted: true, node_id }) => self.leads(term, node_id, name),
            _ => Ok(()),
        }
    }

    fn leads(&mut self, term: u64, leader: u64, said_by: u64) -> Result<(), String> {
        match self.leaders.insert(term, leader) {
            Some(other) if other != leader => {
                Err(format!("node {said_by:x} says that {leader:x} leads term {term}, which {other:x} led"))
            }
            None if self.leaders.len() > 1 => {
                self.rare.push(("leader_change", leader));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Against what the node said earlier in this life.
    fn same_life(&mut self, node: &Observation) {
        let Some(seen) = self.nodes.get(&node.node_id) else { return };
        if node.cuts > seen.cuts {
            let installed = node.purged > seen.last;
            self.rare.push((if installed { "snapshot_installed" } else { "truncation" }, node.node_id));
        }
        if seen.leads.is_some() && node.leads.is_none() {
            self.rare.push(("step_down", node.node_id));
        }
        let votes = node.voters.iter().any(|voters| voters.contains(&node.node_id));
        if seen.learner && votes && !node.learners.contains(&node.node_id) {
            self.rare.push(("learner_promoted", node.node_id));
        }
    }

    fn entries(&mut self, node: &Observation) -> Result<(), String> {
        let name = node.node_id;
        if node.applied > node.committed.max(node.purged) {
            let what = format!("node {name:x} has applied {:?}, committed is {:?}", node.applied, node.committed);
            return Err(what);
        }
        // Not what is committed: that is known of a snapshot before it is installed.
        if node.applied > node.last.max(node.purged) {
            return Err(format!("node {name:x} has applied {:?}, its log ends at {:?}", node.applied, node.last));
        }
        let before = self.nodes.get(&name).and_then(|seen| seen.committed);
        if node.committed < before {
            return Err(format!(
                "what node {name:x} says is committed went back from {before:?} to {:?}",
                node.committed
            ));
        }
        for EntryId { term, index } in [node.committed, node.applied].into_iter().flatten() {
            if let Some(other) = self.terms.insert(index, term)
                && other != term
            {
                return Err(format!("entry {index} is committed with term {other} and, on node {name:x}, with {term}"));
            }
        }
        Ok(())
    }

    fn members(&mut self, node: &Observation) -> Result<(), String> {
        let name = node.node_id;
        if let Some(since) = node.voters_since.filter(|_| node.voters_since <= node.committed) {
            let now = (node.voters.clone(), node.learners.clone());
            let known = self.memberships.entry(since).or_insert_with(|| now.clone());
            if *known != now {
                return Err(format!(
                    "since {since} node {name:x} has the voters and learners {now:?}, others have {known:?}"
                ));
            }
        }
        let applied = node.applied.and_then(|applied| self.memberships.range(..=applied).next_back());
        if let Some((since, (voters, _))) = applied
            && node.voters_since < Some(*since)
        {
            return Err(format!(
                "node {name:x} has applied {:?}, and its voters are still {:?} by {:?}, not {voters:?} by {since}",
                node.applied, node.voters, node.voters_since
            ));
        }
        Ok(())
    }

    fn leader(&mut self, term: u64, node: &Observation) -> Result<(), String> {
        self.leads(term, node.node_id, node.node_id)?;
        // One that does not know yet that it leads no more knows nothing of what came later.
        if term < self.term() {
            return Ok(());
        }
        let earlier = self.terms.iter().rev().find(|(_, committed)| **committed < term);
        if let Some((index, committed)) = earlier {
            let committed = EntryId { term: *committed, index: *index };
            if node.last < Some(committed) {
                let what = format!(
                    "node {:x} leads term {term} with a log up to {:?}, although {committed} was committed before",
                    node.node_id, node.last
                );
                return Err(what);
            }
        }
        Ok(())
    }

    /// Something new is committed: then it is on the disks of a majority, of both if the voters change.
    fn commit(&mut self, node: &Observation) -> Result<(), String> {
        if node.committed <= self.committed {
            return Ok(());
        }
        self.committed = node.committed;
        let Some(committed) = node.committed else { return Ok(()) };
        // Only the leader knows by what membership it has counted; what was committed before the newest one was
        // appended, it has counted by another.
        if node.leads.is_none() || node.committed < node.voters_since {
            return Ok(());
        }
        for voters in &node.voters {
            let has_it = |voter: &&u64| self.nodes.get(*voter).is_some_and(|seen| seen.durable_end > committed.index);
            let count = voters.iter().filter(has_it).count();
            if count * 2 <= voters.len() {
                let ends: Vec<_> =
                    voters.iter().map(|voter| self.nodes.get(voter).map(|seen| seen.durable_end)).collect();
                let what = format!(
                    "{committed} is committed on node {:x}; of the {} voters {count} have it on their disks, which end at {ends:?}",
                    node.node_id,
                    voters.len(),
                );
                return Err(what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> Option<EntryId> {
        Some(EntryId { term, index })
    }

    /// A voter of three, with a log up to `last`, durable, committed and applied up to `committed`.
    fn node(node_id: u64, last: (u64, u64), committed: (u64, u64)) -> Observation {
        Observation {
            node_id,
            vote: Some(ObservedVote { term: last.0, granted: false, node_id: 1 }),
            leads: None,
            last: id(last.0, last.1),
            purged: None,
            durable_end: last.1 + 1,
            marked: false,
            cuts: 0,
            committed: id(committed.0, committed.1),
            applied: id(committed.0, committed.1),
            voters: vec![vec![1, 2, 3]],
            voters_since: id(1, 1),
            hands_over: false,
            learners: vec![],
            matched: BTreeMap::new(),
        }
    }

    fn leads(node: Observation, term: u64) -> Observation {
        let vote = Some(ObservedVote { term, granted: true, node_id: node.node_id });
        Observation { leads: Some(term), vote, ..node }
    }

    fn sees(steps: &[&[Observation]]) -> Result<(), String> {
        let mut raft = Raft::default();
        steps.iter().try_for_each(|nodes| raft.see(nodes))
    }

    #[test]
    fn a_leader_that_replicates_and_one_that_follows_it_pass() {
        let first = [leads(node(1, (1, 5), (1, 4)), 1), node(2, (1, 5), (1, 3)), node(3, (1, 4), (1, 3))];
        let then = [node(1, (1, 5), (1, 4)), leads(node(2, (2, 6), (1, 5)), 2), node(3, (2, 6), (1, 4))];
        let mut first_leads = first.clone();
        first_leads[0].vote = Some(ObservedVote { term: 1, granted: true, node_id: 1 });
        let mut then = then;
        then[0].vote = first_leads[0].vote;
        assert_eq!(sees(&[&first_leads, &then]), Ok(()));
    }

    #[test]
    fn canary_two_leaders_of_one_term() {
        assert!(sees(&[&[leads(node(1, (1, 5), (1, 4)), 2)], &[leads(node(2, (1, 5), (1, 4)), 2)]]).is_err());
    }

    #[test]
    fn canary_two_nodes_that_were_told_of_two_leaders_of_one_term() {
        let told = |node_id, leader| Observation {
            vote: Some(ObservedVote { term: 2, granted: true, node_id: leader }),
            ..node(node_id, (1, 5), (1, 4))
        };
        assert!(sees(&[&[told(2, 1), told(3, 1)]]).is_ok());
        assert!(sees(&[&[told(2, 1), told(3, 4)]]).is_err());
    }

    #[test]
    fn canaries_a_vote_that_goes_back_is_given_twice_or_is_forgotten() {
        let voted = |term, node_id, granted| Observation {
            vote: Some(ObservedVote { term, granted, node_id }),
            ..node(2, (1, 5), (1, 4))
        };
        assert!(sees(&[&[voted(2, 1, false)], &[voted(2, 3, true)], &[voted(3, 1, false)]]).is_ok());
        assert!(sees(&[&[voted(2, 1, false)], &[voted(1, 1, true)]]).is_err());
        assert!(sees(&[&[voted(2, 1, false)], &[voted(2, 3, false)]]).is_err());
        assert!(sees(&[&[voted(2, 1, true)], &[voted(2, 1, false)]]).is_err());
        assert!(sees(&[&[voted(2, 1, true)], &[Observation { vote: None, ..voted(2, 1, true) }]]).is_err());
    }

    #[test]
    fn canary_another_entry_at_a_committed_index() {
        assert!(sees(&[&[node(1, (3, 5), (2, 4))], &[node(2, (3, 5), (1, 4))]]).is_err());
    }

    #[test]
    fn canary_a_leader_without_what_was_committed() {
        let before = [node(1, (1, 5), (1, 4)), node(2, (1, 5), (1, 4))];
        assert!(sees(&[&before, &[leads(node(3, (1, 4), (1, 3)), 2)]]).is_ok());
        assert!(sees(&[&before, &[leads(node(3, (1, 3), (1, 3)), 2)]]).is_err());
    }

    #[test]
    fn canaries_applied_beyond_committed_and_applied_beyond_the_log() {
        let applied = Observation { applied: id(1, 5), ..node(1, (1, 5), (1, 4)) };
        assert!(sees(&[&[applied]]).is_err());
        assert!(sees(&[&[node(1, (1, 5), (1, 6))]]).is_err());
        let installing = Observation { applied: id(1, 4), ..node(1, (1, 5), (1, 6)) };
        assert_eq!(sees(&[&[installing]]), Ok(()));
    }

    #[test]
    fn canary_what_is_committed_goes_back_within_a_life_but_not_over_a_restart() {
        let (later, earlier) = (node(1, (1, 9), (1, 8)), node(1, (1, 9), (1, 7)));
        assert!(sees(&[std::slice::from_ref(&later), std::slice::from_ref(&earlier)]).is_err());
        let mut raft = Raft::default();
        raft.see(&[later]).unwrap();
        raft.ended(1);
        assert_eq!(raft.see(&[earlier]), Ok(()));
    }

    #[test]
    fn canary_committed_and_only_one_of_three_has_it_on_its_disk() {
        let leader = || leads(node(1, (1, 5), (1, 5)), 1);
        let behind = |node_id, end| Observation { durable_end: end, ..node(node_id, (1, 5), (1, 4)) };
        assert_eq!(sees(&[&[behind(2, 6), behind(3, 5), leader()]]), Ok(()));
        assert!(sees(&[&[behind(2, 5), behind(3, 5), leader()]]).is_err());
    }

    #[test]
    fn who_has_lost_the_end_of_its_log_counts_as_before_if_it_is_marked() {
        let before = || [node(2, (1, 5), (1, 4)), node(3, (1, 4), (1, 4)), leads(node(1, (1, 5), (1, 4)), 1)];
        let leader = || leads(node(1, (1, 5), (1, 5)), 1);
        let lost = |marked| Observation { durable_end: 3, marked, ..node(2, (1, 2), (1, 2)) };
        let now = |marked| {
            let mut raft = Raft::default();
            raft.see(&before()).unwrap();
            raft.ended(2);
            raft.see(&[lost(marked), node(3, (1, 4), (1, 4)), leader()])
        };
        assert_eq!(now(true), Ok(()));
        assert!(now(false).is_err());
    }

    #[test]
    fn canary_committed_by_the_new_voters_alone() {
        let change = vec![vec![1, 2, 3], vec![1, 4, 5]];
        let leader = || Observation { voters: change.clone(), ..leads(node(1, (1, 5), (1, 5)), 1) };
        let voters = || change.clone();
        let behind = |node_id, end| Observation { durable_end: end, voters: voters(), ..node(node_id, (1, 5), (1, 4)) };
        assert_eq!(sees(&[&[behind(2, 6), behind(4, 6), leader()]]), Ok(()));
        assert!(sees(&[&[behind(4, 6), behind(5, 6), leader()]]).is_err());
        let later = Observation { voters_since: id(1, 6), ..leader() };
        assert_eq!(sees(&[&[behind(4, 6), behind(5, 6), later]]), Ok(()));
    }

    #[test]
    fn canaries_a_membership_that_is_stale_or_another_one() {
        let changed = |node_id, voters: &[u64]| Observation {
            voters: vec![voters.to_vec()],
            voters_since: id(1, 3),
            ..node(node_id, (1, 5), (1, 4))
        };
        assert_eq!(sees(&[&[changed(1, &[1, 2]), changed(2, &[1, 2])]]), Ok(()));
        assert!(sees(&[&[changed(1, &[1, 2]), changed(2, &[1, 2, 3])]]).is_err());
        assert!(sees(&[&[changed(1, &[1, 2]), node(2, (1, 5), (1, 4))]]).is_err());
        assert_eq!(sees(&[&[changed(1, &[1, 2]), node(2, (1, 2), (1, 2))]]), Ok(()));
    }

    #[test]
    fn what_rarely_happens_is_told_once() {
        let mut raft = Raft::default();
        raft.see(&[leads(node(1, (1, 5), (1, 4)), 1), node(2, (1, 9), (1, 4))]).unwrap();
        raft.see(&[leads(node(3, (1, 5), (1, 4)), 2), Observation { cuts: 1, ..node(2, (1, 5), (1, 4)) }]).unwrap();
        assert_eq!(raft.take_rare(), [("leader_change", 3), ("truncation", 2)]);
        assert!(raft.take_rare().is_empty());
    }
}
