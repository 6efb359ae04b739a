//! What servers say of their cluster, put together. No I/O here, and no clock.

use seedlog_api::v1::{Role, Server};

/// The cluster as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// Which cluster it is; empty if the server does not say.
    pub cluster_id: String,
    /// In which the leader below was said to lead.
    pub term: u64,
    pub leader: Option<String>,
    /// The members that do not lead, in the order of their ids; learners are among them.
    pub others: Vec<String>,
    /// Up to where the one who told this had applied: of two who name the same leader, who is further knows better.
    applied_index: u64,
    /// Who told it. Where nothing is written, addresses change all the same: the leader hears of it, and whoever spoke
    /// last knows better than before.
    told_by_leader: bool,
    teller: String,
}

impl View {
    /// What one server said of all; none if it knows no leader, or not who it is itself.
    ///
    /// Only the server that answers gives its own term: that of the leader whom it names.
    pub fn told(servers: &[Server]) -> Option<View> {
        let teller = servers.iter().find(|server| server.term > 0)?;
        let is_usable = |server: &&Server| !server.rpc_addr.is_empty() && server.role() != Role::Unspecified;
        let mut members: Vec<&Server> = servers.iter().filter(is_usable).collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let leader = members.iter().find(|server| server.is_leader)?.rpc_addr.clone();
        let others = members.iter().map(|server| server.rpc_addr.clone()).filter(|addr| *addr != leader).collect();
        Some(View {
            cluster_id: teller.cluster_id.clone(),
            term: teller.term,
            leader: Some(leader),
            others,
            applied_index: teller.applied_index,
            told_by_leader: teller.is_leader,
            teller: teller.id.clone(),
        })
    }

    fn rank(&self) -> (u64, u64, bool) {
        (self.term, self.applied_index, self.told_by_leader)
    }

    /// Takes in what another server said; whether anything is new. A leader that was cut off goes on saying that it
    /// leads: the higher term is right.
    pub fn learn(&mut self, told: View) -> bool {
        let is_newer = told.rank() > self.rank() || (told.rank() == self.rank() && told.teller == self.teller);
        let changes = is_newer && (&told.leader, &told.others) != (&self.leader, &self.others);
        if is_newer {
            *self = told;
        }
        changes
    }

    pub fn addresses(&self) -> impl Iterator<Item = &String> {
        self.leader.iter().chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the servers a, b and c: who answers, in which term, whom it takes for the leader, what it has applied.
    fn told(by: &str, term: u64, leader: &str, applied_index: u64) -> Option<View> {
        let server = |id: &str| {
            let role = if id == leader { Role::Leader } else { Role::Voter };
            let server = Server {
                id: id.into(),
                rpc_addr: format!("{id}:1"),
                is_leader: id == leader,
                role: role.into(),
                ..Server::default()
            };
            if id == by { Server { term, applied_index, ..server } } else { server }
        };
        View::told(&["c", "a", "b"].map(server))
    }

    #[test]
    fn the_others_are_all_members_but_the_leader_in_a_fixed_order() {
        let view = told("a", 3, "b", 7).unwrap();
        assert_eq!((view.leader.as_deref(), view.others), (Some("b:1"), vec!["a:1".to_owned(), "c:1".to_owned()]));
    }

    #[test]
    fn who_knows_no_leader_tells_nothing() {
        assert_eq!(told("a", 3, "nobody", 7), None);
        assert_eq!(told("nobody", 3, "a", 7), None);
    }

    #[test]
    fn a_leader_that_was_cut_off_is_believed_by_nobody_who_has_heard_of_the_next_one() {
        let mut view = View::default();
        assert!(view.learn(told("a", 3, "a", 7).unwrap()));
        assert!(view.learn(told("b", 4, "c", 5).unwrap()));
        assert!(!view.learn(told("a", 3, "a", 9).unwrap()));
        assert_eq!((view.term, view.leader.as_deref()), (4, Some("c:1")));
    }

    #[test]
    fn where_nothing_is_written_a_new_address_is_learnt_from_the_leader_and_from_whoever_spoke_last() {
        let moved = |by: &str| {
            let mut view = told(by, 3, "a", 7).unwrap();
            view.others[0] = "elsewhere:1".to_owned();
            view
        };
        let mut view = told("b", 3, "a", 7).unwrap();
        assert!(!view.learn(moved("c")), "which of the two followers is right is not known");
        assert!(view.learn(moved("b")));
        assert!(!view.learn(told("c", 3, "a", 7).unwrap()));
        let mut view = told("b", 3, "a", 7).unwrap();
        assert!(view.learn(moved("a")), "the leader knows better");
        assert!(!view.learn(told("b", 3, "a", 7).unwrap()));
        assert!(view.learn(told("a", 3, "a", 7).unwrap()), "it has moved back");
    }

    #[test]
    fn what_was_known_before_is_nothing_new() {
        let mut view = told("a", 3, "a", 7).unwrap();
        assert!(!view.learn(told("b", 3, "a", 6).unwrap()), "it is behind");
        assert!(!view.learn(told("a", 3, "a", 8).unwrap()), "it says the same");
    }
}
