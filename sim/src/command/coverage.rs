//! What a sweep has seen: a clean sweep that tried nothing says nothing.

use super::Size;
use crate::plan;
use std::collections::BTreeMap;

/// In less seeds something may fail to happen by chance.
pub const SEEDS_MIN: u64 = 100;
/// And what is rarer still, in less than these.
pub const LONG_SEEDS_MIN: u64 = 500;

/// What is declared, for clusters of this size, and should have happened in so many seeds, and never did.
pub fn missing(fired: &BTreeMap<String, u64>, size: Size, seeds: u64) -> Vec<&'static str> {
    let often =
        plan::kinds(size.nodes, size.mirror).chain(plan::rare(size.nodes, size.mirror)).filter(|_| seeds >= SEEDS_MIN);
    let seldom = plan::rarer(size.nodes, size.mirror).filter(|_| seeds >= LONG_SEEDS_MIN);
    often.chain(seldom).filter(|cell| fired.get(*cell).is_none_or(|times| *times == 0)).collect()
}

/// What happened and is declared nowhere: it could stop happening, and nobody would notice.
pub fn undeclared(fired: &BTreeMap<String, u64>) -> Vec<&str> {
    let of = |mirror| plan::kinds(None, mirror).chain(plan::rare(None, mirror)).chain(plan::rarer(None, mirror));
    let all = || of(false).chain(of(true));
    let is_declared = |cell: &str| all().any(|declared| declared == cell);
    fired.keys().map(String::as_str).filter(|cell| !is_declared(cell)).collect()
}

/// What of that fails a sweep of so many seeds, in words.
pub fn failure(fired: &BTreeMap<String, u64>, size: Size, seeds: u64) -> Option<String> {
    let (missing, undeclared) = (missing(fired, size, seeds), undeclared(fired));
    if !missing.is_empty() {
        return Some(format!("never happened in {seeds} seeds, although declared: {}", missing.join(", ")));
    }
    (!undeclared.is_empty()).then(|| format!("happened, and is declared nowhere: {}", undeclared.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(nodes: Option<u32>) -> BTreeMap<String, u64> {
        let all = plan::kinds(nodes, false).chain(plan::rare(nodes, false)).chain(plan::rarer(nodes, false));
        all.map(|cell| (cell.to_owned(), 1)).collect()
    }

    #[test]
    fn everything_once_is_enough() {
        for nodes in [None, Some(1), Some(3)] {
            assert_eq!(failure(&all(nodes), Size { nodes, mirror: false }, 500), None);
        }
    }

    #[test]
    fn canary_each_cell_that_never_happened_fails_the_sweep_and_is_named() {
        let size = Size { nodes: None, mirror: false };
        for cell in all(None).into_keys() {
            let mut fired = all(None);
            fired.remove(&cell);
            let failure = failure(&fired, size, 500).expect("something is missing");
            assert!(failure.ends_with(&format!(": {cell}")), "{failure}");
            fired.insert(cell, 0);
            assert!(super::failure(&fired, size, 500).is_some());
        }
    }

    #[test]
    fn few_seeds_need_not_see_everything() {
        assert_eq!(failure(&BTreeMap::new(), Size { nodes: None, mirror: false }, SEEDS_MIN - 1), None);
        assert!(failure(&BTreeMap::new(), Size { nodes: None, mirror: false }, SEEDS_MIN).is_some());
        let mut fired = all(None);
        fired.remove("rot_harmless");
        assert_eq!(failure(&fired, Size { nodes: None, mirror: false }, LONG_SEEDS_MIN - 1), None);
        assert!(failure(&fired, Size { nodes: None, mirror: false }, LONG_SEEDS_MIN).is_some());
    }

    #[test]
    fn canary_what_is_counted_and_declared_nowhere_fails_however_few_the_seeds() {
        let mut fired = all(None);
        fired.insert("moonrise".to_owned(), 1);
        let failure = failure(&fired, Size { nodes: None, mirror: false }, 1).expect("it is not declared");
        assert!(failure.ends_with(": moonrise"), "{failure}");
    }

    #[test]
    fn one_node_need_not_see_what_takes_several() {
        let alone = Size { nodes: Some(1), mirror: false };
        assert!(missing(&all(Some(1)), alone, 500).is_empty());
        assert!(missing(&all(Some(1)), Size { nodes: Some(3), mirror: false }, 500).contains(&"partition"));
    }
}
