//! A majority that is left in peace works, whatever becomes of the others: it has a leader within a bound, and
//! nobody from outside unseats one whom it hears. (Raft without pre-votes fails the second: who was cut off for a
//! while comes back with a newer term.)
//!
//! It knows no simulation: [`Peace::see`] is told what is seen, and says what is wrong with it.

use crate::health::Health;
use seedlog_raft::{Observation, ObservedVote};
use std::collections::BTreeMap;

/// So long a leader and a majority must have been in peace before nobody may begin another term: longer than
/// any answer that was asked for earlier is under way.
pub const SETTLED_NS: u64 = 3_000_000_000;
/// A majority that has been in peace for so long has a leader: three elections that end in a draw, and the
/// start of a node.
pub const LED_MAX_NS: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub struct Peace {
    settled: Option<Settled>,
    /// The newest term that had a leader, and since when it has been seen.
    led: Option<(u64, u64)>,
    /// When each was last led by somebody whom it heard.
    led_ns: BTreeMap<u32, u64>,
}

/// A leader, and the followers that have heard it for a while, all voters.
#[derive(Debug)]
struct Settled {
    term: u64,
    leader: u32,
    followers: Vec<u32>,
}

impl Peace {
    /// All nodes that run, by number, of a cluster of `size` machines.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn see(
        &mut self,
        now_ns: u64,
        health: &Health,
        nodes: &BTreeMap<u32, Observation>,
        size: usize,
    ) -> Result<(), String> {
        let long_enough = |since: Option<u64>, long_ns| since.is_some_and(|since| since + long_ns <= now_ns);
        let in_peace = |leader: u32, node: u32| {
            long_enough(health.undisturbed(node), SETTLED_NS)
                && !nodes.get(&leader).is_some_and(|leader| leader.hands_over)
                && (leader == node || long_enough(health.linked(leader, node), SETTLED_NS))
        };
        if let Some(Settled { term, leader, followers }) = self.settled.take() {
            let stay = followers.iter().filter(|follower| in_peace(leader, **follower)).count();
            let newer = nodes.iter().find(|(_, node)| node.vote.is_some_and(|vote| vote.term > term));
            if let Some((number, node)) = newer
                && in_peace(leader, leader)
                && (stay + 1) * 2 > size
            {
                let vote = node.vote.map_or(0, |vote| vote.term);
                return Err(format!(
                    "node {number} is at term {vote}, although node {leader} leads term {term}, and {} of {size} have heard it all the time",
                    stay + 1
                ));
            }
        }
        let leading = nodes.iter().filter_map(|(number, node)| Some((node.leads?, *number)));
        let Some((term, leader)) = leading.max() else { return self.led(now_ns, health, nodes, size) };
        if self.led.is_none_or(|(led, _)| led < term) {
            self.led = Some((term, now_ns));
        }
        let leads_since = self.led.map(|(_, since)| since);
        let hears = |node: &Observation| {
            node.vote.is_some_and(|vote| vote.term == term && vote.granted && vote.node_id == nodes[&leader].node_id)
        };
        let followers = nodes.iter().filter(|(number, node)| **number != leader && hears(node));
        let followers = followers.map(|(number, _)| *number).filter(|number| in_peace(leader, *number));
        let followers: Vec<u32> = followers.collect();
        // Who votes is settled, too.
        let [voters] = &nodes[&leader].voters[..] else { return Ok(()) };
        let vote = followers.iter().chain([&leader]).filter(|number| voters.contains(&nodes[number].node_id)).count();
        let none_newer = nodes.values().all(|node| node.vote.is_none_or(|vote| vote.term <= term));
        let majority = (followers.len() + 1) * 2 > size && vote == followers.len() + 1 && voters.len() == size;
        if majority && none_newer && in_peace(leader, leader) && long_enough(leads_since, SETTLED_NS) {
            self.settled = Some(Settled { term, leader, followers });
        }
        self.led(now_ns, health, nodes, size)
    }

    /// The majority, its leader first, that has been led and left in peace for a while.
    pub fn settled(&self) -> Option<(u64, impl Iterator<Item = u32>)> {
        let Settled { term, leader, followers } = self.settled.as_ref()?;
        Some((*term, [*leader].into_iter().chain(followers.iter().copied())))
    }

    /// Whether a majority in peace has somebody who leads it.
    fn led(
        &mut self,
        now_ns: u64,
        health: &Health,
        nodes: &BTreeMap<u32, Observation>,
        size: usize,
    ) -> Result<(), String> {
        let follows = |leader: u32, number: u32| {
            let (leads, leader_id) = (nodes[&leader].leads, nodes[&leader].node_id);
            let granted = |vote: ObservedVote| vote.granted && vote.node_id == leader_id && Some(vote.term) == leads;
            let hears = leader == number || health.linked(leader, number).is_some();
            hears && nodes[&number].vote.is_some_and(granted)
        };
        for number in nodes.keys().filter(|number| nodes.keys().any(|leader| follows(*leader, **number))) {
            self.led_ns.insert(*number, now_ns);
        }
        let long_enough = |since: Option<u64>| since.is_some_and(|since| since + LED_MAX_NS <= now_ns);
        let calm = nodes.keys().copied().filter(|number| long_enough(health.undisturbed(*number)));
        let mut calm: Vec<u32> = calm.collect();
        // Without those who do not reach the others.
        loop {
            let cut = |one: &u32| {
                let unheard = |other: &&u32| *other != one && !long_enough(health.linked(*one, **other));
                calm.iter().filter(unheard).count()
            };
            match calm.iter().map(|one| (cut(one), *one)).max() {
                Some((cut, one)) if cut > 0 => calm.retain(|other| *other != one),
                _ => break,
            }
        }
        // All agree on who votes, and it is they.
        let voters = |number: &u32| {
            let node = &nodes[number];
            node.voters.len() == 1 && node.voters[0].len() == size && node.voters[0].contains(&node.node_id)
        };
        let unled =
            calm.iter().all(|number| self.led_ns.get(number).is_none_or(|led_ns| led_ns + LED_MAX_NS <= now_ns));
        if calm.len() * 2 <= size || !calm.iter().all(voters) || !unled {
            return Ok(());
        }
        let seconds = LED_MAX_NS / 1_000_000_000;
        Err(format!("nobody leads, although the nodes {calm:?} of {size} have been in peace for {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn node(number: u32, vote: (u64, u64)) -> Observation {
        let node_id = u64::from(number);
        Observation {
            node_id,
            vote: Some(ObservedVote { term: vote.0, granted: vote.1 != node_id, node_id: vote.1 }),
            leads: None,
            last: None,
            purged: None,
            durable_end: 0,
            marked: false,
            cuts: 0,
            committed: None,
            applied: None,
            voters: vec![vec![1, 2, 3]],
            voters_since: None,
            hands_over: false,
            learners: vec![],
            matched: BTreeMap::new(),
        }
    }

    fn leads(number: u32, term: u64) -> Observation {
        let vote = Some(ObservedVote { term, granted: true, node_id: u64::from(number) });
        Observation { leads: Some(term), vote, ..node(number, (term, 0)) }
    }

    fn nodes(of: [Observation; 3]) -> BTreeMap<u32, Observation> {
        of.into_iter().map(|node| (node.node_id as u32, node)).collect()
    }

    fn well() -> Health {
        let mut health = Health::default();
        (1..=3).for_each(|number| health.node(number, true, 0));
        health
    }

    /// Three nodes, of which 1 leads; 3 does not hear it.
    fn led() -> BTreeMap<u32, Observation> {
        nodes([leads(1, 1), node(2, (1, 1)), node(3, (1, 1))])
    }

    fn cut_off(mut health: Health) -> Health {
        for other in [1, 2] {
            health.link(3, other, false, 0);
        }
        health
    }

    #[test]
    fn canary_one_that_was_cut_off_begins_a_term() {
        let (mut peace, health) = (Peace::default(), cut_off(well()));
        assert_eq!(peace.see(0, &health, &led(), 3), Ok(()));
        assert_eq!(peace.see(4 * SECOND, &health, &led(), 3), Ok(()));
        let raised = nodes([leads(1, 1), node(2, (1, 1)), node(3, (2, 3))]);
        assert!(peace.see(4 * SECOND + 1, &health, &raised, 3).is_err());
    }

    #[test]
    fn a_new_term_is_fine_when_the_leader_was_to_hand_over_and_could_not() {
        // Seed 41000067: the one that was to lead was cut off, and comes back much later.
        let (mut peace, health) = (Peace::default(), cut_off(well()));
        let handing = |mut nodes: BTreeMap<u32, Observation>| {
            nodes.entry(1).and_modify(|leader| leader.hands_over = true);
            nodes
        };
        peace.see(0, &health, &handing(led()), 3).unwrap();
        peace.see(4 * SECOND, &health, &handing(led()), 3).unwrap();
        let raised = nodes([leads(1, 1), node(2, (1, 1)), node(3, (2, 3))]);
        assert_eq!(peace.see(5 * SECOND, &health, &handing(raised), 3), Ok(()));
    }

    #[test]
    fn a_new_term_is_fine_when_the_leader_is_disturbed_or_has_just_begun() {
        let raised = nodes([leads(1, 1), node(2, (2, 2)), node(3, (1, 1))]);
        let (mut peace, mut health) = (Peace::default(), cut_off(well()));
        peace.see(0, &health, &led(), 3).unwrap();
        peace.see(4 * SECOND, &health, &led(), 3).unwrap();
        health.node(1, false, 4 * SECOND);
        assert_eq!(peace.see(5 * SECOND, &health, &raised, 3), Ok(()));
        let (mut peace, health) = (Peace::default(), cut_off(well()));
        peace.see(4 * SECOND, &health, &led(), 3).unwrap();
        assert_eq!(peace.see(5 * SECOND, &health, &raised, 3), Ok(()));
    }

    #[test]
    fn canary_nobody_leads_two_that_hear_each_other() {
        let nobody = nodes([node(1, (1, 3)), node(2, (1, 3)), node(3, (1, 3))]);
        let health = cut_off(well());
        assert_eq!(Peace::default().see(9 * SECOND, &health, &nobody, 3), Ok(()));
        assert!(Peace::default().see(10 * SECOND, &health, &nobody, 3).is_err());
        assert_eq!(Peace::default().see(10 * SECOND, &health, &led(), 3), Ok(()));
        let mut alone = health;
        alone.link(1, 2, false, 0);
        assert_eq!(Peace::default().see(10 * SECOND, &alone, &nobody, 3), Ok(()));
    }
}
