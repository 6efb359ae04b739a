//! What is known of everyone, by node id. Fed with what foca holds by address: [`Members::see`].

use crate::contacts::Contact;
use crate::identity::Identity;
use crate::member::Member;
use seedlog_runtime::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers, or is merely suspected.
    Alive,
    /// It said that it goes.
    Left { at: Instant },
    /// It went silent, or another node is at its address.
    Dead { since: Instant },
}

/// A node other than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// As it last was.
    pub member: Member,
    pub state: State,
    /// Of the life that is known: a restart, a change of address or of the cluster id makes a greater one.
    pub incarnation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    pub me: Member,
    /// When this node began to listen. Of one that died before, it never hears: who is not listed has been
    /// gone for at least as long as this node is up.
    pub started: Instant,
    pub others: BTreeMap<u64, Known>,
    /// The addresses that this node was told to join, and who answered there.
    pub join: BTreeMap<String, Contact>,
}

impl Known {
    pub fn is_alive(&self) -> bool {
        self.state == State::Alive
    }

    /// When it left or fell silent.
    pub fn gone(&self) -> Option<Instant> {
        match self.state {
            State::Alive => None,
            State::Left { at } => Some(at),
            State::Dead { since } => Some(since),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        let leaving = matches!(self.state, State::Left { .. });
        Identity { incarnation: self.incarnation, leaving, member: self.member.clone() }
    }
}

impl Members {
    pub(crate) fn new(me: Member, started: Instant) -> Members {
        Members { me, started, others: BTreeMap::new(), join: BTreeMap::new() }
    }

    pub fn get(&self, node_id: u64) -> Option<&Known> {
        self.others.get(&node_id)
    }

    /// This node and all others that are there, by node id.
    pub fn alive(&self) -> Vec<&Member> {
        let others = self.others.values().filter(|known| known.is_alive()).map(|known| &known.member);
        let mut alive: Vec<&Member> = others.chain([&self.me]).collect();
        alive.sort_by_key(|member| member.node_id);
        alive
    }

    /// Nobody else is there, as far as this node can tell.
    pub fn is_alone(&self) -> bool {
        !self.others.values().any(Known::is_alive)
    }

    pub(crate) fn dead(&self) -> impl Iterator<Item = &Known> {
        self.others.values().filter(|known| matches!(known.state, State::Dead { .. }))
    }

    /// Takes over what foca holds: by address, each identity and whether it is active. Returns whom it changed.
    ///
    /// Of a node's identities the newest counts: what becomes of an old address is the past. Who is gone before
    /// it was ever seen alive is not listed.
    pub(crate) fn see<'a>(&mut self, seen: impl Iterator<Item = (&'a Identity, bool)>, now: Instant) -> Vec<u64> {
        let mut newest: BTreeMap<u64, (&Identity, bool)> = BTreeMap::new();
        for (identity, active) in seen.filter(|(identity, _)| identity.node_id() != self.me.node_id) {
            let entry = newest.entry(identity.node_id()).or_insert((identity, active));
            if *identity > *entry.0 {
                *entry = (identity, active);
            }
        }
        let mut changed = Vec::new();
        for (node_id, known) in &mut self.others {
            let (is, identity) = match newest.remove(node_id) {
                Some((identity, active)) if *identity >= known.identity() => {
                    (state(identity, active, known.state, now), identity.clone())
                }
                // The life that we know is nowhere any more: another node took its address.
                _ => (state(&known.identity(), false, known.state, now), known.identity()),
            };
            let is = Known { member: identity.member, state: is, incarnation: identity.incarnation };
            if is != *known {
                *known = is;
                changed.push(*node_id);
            }
        }
        for (node_id, (identity, active)) in newest {
            if active && !identity.leaving {
                let member = identity.member.clone();
                self.others.insert(node_id, Known { member, state: State::Alive, incarnation: identity.incarnation });
                changed.push(node_id);
            }
        }
        changed
    }

    /// Forgets who has been gone for longer than `remember`, and of the rest those that went first, until at
    /// most `remembered_max` are left.
    pub(crate) fn forget(&mut self, remember: Duration, remembered_max: usize, now: Instant) -> bool {
        let before = self.others.len();
        self.others.retain(|_, known| known.gone().is_none_or(|gone| now - gone <= remember));
        let mut gone: Vec<_> = self.others.iter().filter_map(|(id, known)| Some((known.gone()?, *id))).collect();
        gone.sort();
        for (_, node_id) in &gone[..gone.len().saturating_sub(remembered_max)] {
            self.others.remove(node_id);
        }
        self.others.len() != before
    }
}

/// What a node in this identity is, if it was `before`: who is still gone has been gone since then.
fn state(identity: &Identity, active: bool, before: State, now: Instant) -> State {
    match (identity.leaving, before) {
        (true, State::Left { .. }) => before,
        (true, _) => State::Left { at: now },
        (false, _) if active => State::Alive,
        (false, State::Dead { .. }) => before,
        (false, _) => State::Dead { since: now },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;
    use crate::member::tests::member;
    use seedlog_runtime::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn moved(node_id: u64, incarnation: u64, addr: &str) -> Identity {
        let mut identity = identity(node_id, incarnation);
        identity.member.gossip_addr = addr.parse().unwrap();
        identity
    }

    fn leaving(node_id: u64, incarnation: u64) -> Identity {
        Identity { leaving: true, ..identity(node_id, incarnation) }
    }

    /// A view of node 9, and what it says step by step: who changed, and the states as letters.
    struct View {
        members: Members,
        start: Instant,
        seconds: u32,
    }

    impl View {
        fn new() -> View {
            let start = clock::now();
            View { members: Members::new(member(9), start), start, seconds: 0 }
        }

        /// A second later.
        fn see(&mut self, seen: &[(Identity, bool)]) -> String {
            self.seconds += 1;
            let seen = seen.iter().map(|(identity, active)| (identity, *active));
            self.members.see(seen, self.start + self.seconds * SECOND);
            let after = |at: Instant| (at - self.start).as_secs();
            let states = self.members.others.iter().map(|(id, known)| match known.state {
                State::Alive => format!("{id} alive"),
                State::Left { at } => format!("{id} left at {}", after(at)),
                State::Dead { since } => format!("{id} dead since {}", after(since)),
            });
            states.collect::<Vec<_>>().join(", ")
        }
    }

    #[tokio::test]
    async fn a_node_is_dead_since_it_fell_silent_and_alive_again_when_it_is_back() {
        let mut view = View::new();
        assert_eq!(view.see(&[(identity(1, 5), true), (identity(2, 5), true)]), "1 alive, 2 alive");
        assert_eq!(view.see(&[(identity(1, 5), false), (identity(2, 5), true)]), "1 dead since 2, 2 alive");
        assert_eq!(view.see(&[(identity(1, 5), false), (identity(2, 5), true)]), "1 dead since 2, 2 alive");
        assert_eq!(view.see(&[(identity(1, 6), true), (identity(2, 5), true)]), "1 alive, 2 alive");
        assert_eq!(view.members.get(1).unwrap().incarnation, 6);
    }

    #[tokio::test]
    async fn who_said_goodbye_has_left_and_is_not_dead() {
        let mut view = View::new();
        view.see(&[(identity(1, 5), true), (identity(2, 5), true)]);
        // Of node 1 we still hear, of node 2 only that it is down.
        assert_eq!(view.see(&[(leaving(1, 6), true), (leaving(2, 6), false)]), "1 left at 2, 2 left at 2");
        assert_eq!(view.see(&[(leaving(1, 6), false), (leaving(2, 6), false)]), "1 left at 2, 2 left at 2");
        assert_eq!(view.see(&[(identity(1, 7), true)]), "1 alive, 2 left at 2");
    }

    #[tokio::test]
    async fn a_node_that_moved_is_alive_at_its_new_address_whatever_becomes_of_the_old_one() {
        let mut view = View::new();
        let (old, new) = (identity(1, 5), moved(1, 6, "10.0.9.9:8401"));
        view.see(&[(old.clone(), true)]);
        assert_eq!(view.see(&[(new.clone(), true), (old.clone(), true)]), "1 alive");
        assert_eq!(view.see(&[(new.clone(), true), (old.clone(), false)]), "1 alive");
        assert_eq!(view.members.get(1).unwrap().member, new.member);
        assert_eq!(view.see(&[(new, false), (old, false)]), "1 dead since 4");
    }

    #[tokio::test]
    async fn a_wiped_node_replaces_the_old_one_at_its_address_and_the_old_one_is_dead() {
        let mut view = View::new();
        view.see(&[(identity(1, 5), true)]);
        let wiped = moved(7, 6, "10.0.0.1:8401");
        assert_eq!(view.see(&[(wiped, true)]), "1 dead since 2, 7 alive");
    }

    #[tokio::test]
    async fn nodes_that_exchange_their_addresses_stay_alive() {
        let mut view = View::new();
        view.see(&[(identity(1, 5), true), (identity(2, 5), true)]);
        let (one, two) = (moved(1, 6, "10.0.0.2:8401"), moved(2, 6, "10.0.0.1:8401"));
        assert_eq!(view.see(&[(two, true), (one, true)]), "1 alive, 2 alive");
    }

    #[tokio::test]
    async fn news_of_a_past_life_changes_nothing() {
        let mut view = View::new();
        view.see(&[(identity(1, 5), true)]);
        view.see(&[(identity(1, 5), false)]);
        assert_eq!(view.see(&[(moved(1, 4, "10.0.9.9:8401"), true)]), "1 dead since 2");
        assert_eq!(view.see(&[]), "1 dead since 2");
    }

    #[tokio::test]
    async fn this_node_is_never_among_the_others_nor_is_who_was_gone_before_we_came() {
        let mut view = View::new();
        assert_eq!(view.see(&[(identity(9, 50), true), (identity(1, 5), false), (leaving(2, 5), true)]), "");
        view.see(&[(identity(3, 5), true), (identity(12, 5), true)]);
        let alive: Vec<u64> = view.members.alive().iter().map(|member| member.node_id).collect();
        assert_eq!(alive, [3, 9, 12]);
    }

    #[tokio::test]
    async fn the_gone_are_forgotten_after_a_time_and_the_first_of_too_many() {
        let mut view = View::new();
        for last in 1..=4 {
            let seen: Vec<_> = (1..=5).map(|id| (identity(id, 5), id > last - 1)).collect();
            view.see(&seen); // 1 is dead since 2, 2 since 3, 3 since 4
        }
        let now = view.start + 4 * SECOND;
        assert!(!view.members.forget(2 * SECOND, 3, now));
        assert!(view.members.forget(SECOND, 3, now));
        assert_eq!(view.members.others.keys().copied().collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert!(view.members.forget(SECOND, 1, now));
        assert_eq!(view.members.others.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
        // foca remembers longer: that does not bring them back.
        let seen: Vec<_> = (1..=5).map(|id| (identity(id, 5), id > 3)).collect();
        assert_eq!(view.see(&seen), "3 dead since 4, 4 alive, 5 alive");
    }
}
