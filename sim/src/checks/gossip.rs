//! Who is there is seen to be there: after heal every node sees every other within a bound, and from then on
//! nobody is declared dead, whatever single messages get lost.

use std::collections::BTreeMap;

/// After heal, everybody sees everybody within this simulated time: a death takes ten probe intervals at most to
/// be seen, a return about as long.
pub const SEEN_MAX_MS: u64 = 20_000;
/// So long nobody may be declared dead afterwards. Time for some probes of each node by each other.
pub const STEADY_MS: u64 = 6_000;
/// Of all messages, so many are lost meanwhile: some probes, and some of those that others make on behalf. Of a tenth, in
/// about one run of some thousands (seed 795919090 was one), all are that a suspect could have objected with.
pub const STEADY_LOSS: f64 = 0.05;

/// Whom each node sees alive, by node id.
pub type Views = BTreeMap<u64, Vec<u64>>;

/// The first who does not see another that is there.
pub fn blind(views: &Views) -> Option<(u64, u64)> {
    views.iter().find_map(|(observer, alive)| {
        let missing = views.keys().find(|node_id| *node_id != observer && !alive.contains(node_id));
        missing.map(|missing| (*observer, *missing))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(of: &[(u64, &[u64])]) -> Views {
        of.iter().map(|(observer, alive)| (*observer, alive.to_vec())).collect()
    }

    #[test]
    fn those_who_all_see_each_other_are_fine() {
        assert_eq!(blind(&views(&[(1, &[1, 2]), (2, &[1, 2, 9])])), None);
    }

    #[test]
    fn canary_one_that_is_not_seen() {
        assert_eq!(blind(&views(&[(1, &[1, 2]), (2, &[2])])), Some((2, 1)));
    }
}
