//! What other nodes have acknowledged to this one while it leads: an entry that is there is there for good. A node that is told
//! so when it is appended to again, and does not have it, knows that its disk has lost it.

use crate::types::{LogId, Vote};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Acknowledged {
    /// By node: the last entry, and to whom.
    last: Arc<Mutex<BTreeMap<u64, (Vote, LogId)>>>,
}

impl Acknowledged {
    /// Node `node_id` has told `leader` that it has all up to `last` on its disk.
    pub fn note(&self, node_id: u64, leader: &Vote, last: LogId) {
        let mut held = self.last.lock().expect("no holder panics");
        let before = held.entry(node_id).or_insert((*leader, last));
        let term = |vote: &Vote| vote.leader_id.term;
        if (term(&before.0), before.1.index) < (term(leader), last.index) {
            *before = (*leader, last);
        }
    }

    pub fn to(&self, leader: &Vote, node_id: u64) -> Option<LogId> {
        let held = self.last.lock().expect("no holder panics");
        held.get(&node_id).filter(|(to, _)| to == leader).map(|(_, last)| *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;
    use seedlog_log::EntryId;

    fn at(term: u64, index: u64) -> LogId {
        types::log_id(EntryId { term, index })
    }

    #[test]
    fn the_furthest_of_the_newest_leader_counts_and_for_nobody_else() {
        let (held, old, new) = (Acknowledged::default(), Vote::new_committed(3, 1), Vote::new_committed(4, 1));
        assert_eq!(held.to(&old, 2), None);
        held.note(2, &old, at(3, 7));
        held.note(2, &old, at(3, 6));
        assert_eq!((held.to(&old, 2), held.to(&old, 3), held.to(&new, 2)), (Some(at(3, 7)), None, None));
        held.note(2, &new, at(4, 5));
        held.note(2, &old, at(3, 9));
        assert_eq!((held.to(&old, 2), held.to(&new, 2)), (None, Some(at(4, 5))));
    }
}
