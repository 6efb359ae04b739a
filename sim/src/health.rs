//! Who is left in peace, and since when: what may be asked of a cluster in the middle of its trouble.

use std::collections::BTreeMap;

/// Simulated nanoseconds since the start of the world, or `None` while something is wrong.
type Since = Option<u64>;

#[derive(Debug, Clone)]
pub struct Health {
    nodes: BTreeMap<u32, Since>,
    /// Between two nodes, the smaller number first; those that were never cut are not here.
    links: BTreeMap<(u32, u32), Since>,
    /// Whether all clients reach the node, and hear it.
    reach: BTreeMap<u32, Since>,
    network: Since,
}

impl Default for Health {
    fn default() -> Health {
        Health { nodes: BTreeMap::new(), links: BTreeMap::new(), reach: BTreeMap::new(), network: Some(0) }
    }
}

impl Health {
    /// Whether the node is up and nothing slows it.
    pub fn node(&mut self, number: u32, well: bool, now_ns: u64) {
        turn(self.nodes.entry(number).or_default(), well, now_ns);
    }

    /// Whether two nodes reach each other, both ways.
    pub fn link(&mut self, one: u32, other: u32, whole: bool, now_ns: u64) {
        turn(self.links.entry(pair(one, other)).or_insert(Some(0)), whole, now_ns);
    }

    /// Whether no client is cut off from this node.
    pub fn reach(&mut self, number: u32, whole: bool, now_ns: u64) {
        turn(self.reach.entry(number).or_insert(Some(0)), whole, now_ns);
    }

    /// Whether messages travel as the plan has it, and nobody has been asked to lead in another's place.
    pub fn network(&mut self, calm: bool, now_ns: u64) {
        turn(&mut self.network, calm, now_ns);
    }

    /// Since when this node has had nothing to complain of.
    pub fn undisturbed(&self, number: u32) -> Since {
        self.nodes.get(&number).copied().flatten()
    }

    /// Since when all clients have reached this node.
    pub fn reached(&self, number: u32) -> Since {
        Some(self.reach.get(&number).copied().unwrap_or(Some(0))?.max(self.network?))
    }

    /// Since when the two have heard each other.
    pub fn linked(&self, one: u32, other: u32) -> Since {
        let link = self.links.get(&pair(one, other)).copied().unwrap_or(Some(0));
        Some(link?.max(self.network?))
    }
}

fn pair(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

fn turn(since: &mut Since, well: bool, now_ns: u64) {
    *since = if well { since.or(Some(now_ns)) } else { None };
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn peace_begins_when_the_last_trouble_ends() {
        let mut health = Health::default();
        assert_eq!((health.undisturbed(1), health.linked(1, 2)), (None, Some(0)));
        health.node(1, true, 5);
        health.node(1, true, 7);
        assert_eq!(health.undisturbed(1), Some(5));
        health.link(2, 1, false, 8);
        assert_eq!(health.linked(1, 2), None);
        health.link(1, 2, true, 9);
        assert_eq!((health.linked(2, 1), health.linked(1, 3)), (Some(9), Some(0)));
        health.network(false, 10);
        health.network(true, 11);
        assert_eq!((health.linked(1, 2), health.linked(1, 3)), (Some(11), Some(11)));
        health.reach(1, false, 11);
        assert_eq!((health.reached(1), health.reached(2)), (None, Some(11)));
        health.reach(1, true, 12);
        assert_eq!(health.reached(1), Some(12));
        health.node(1, false, 12);
        assert_eq!(health.undisturbed(1), None);
    }
}
