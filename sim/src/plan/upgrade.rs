//! A rolling upgrade: the cluster starts as the last release, and its nodes come to be what the code is today, one after
//! the other.

use super::{Fault, Planned, Target};
use rand::RngExt;
use seedlog_runtime::rng::keyed;

pub(super) const KIND: &str = "upgrade";

/// Who starts as the last release, and what befalls whom.
pub(super) fn draw(seed: u64, nodes: u32, trouble_ms: u64) -> (Vec<u32>, Vec<Planned>) {
    let mut rng = keyed(seed, &["plan".into(), KIND.into()]);
    if nodes == 1 || rng.random_bool(0.7) {
        return (Vec::new(), Vec::new());
    }
    let all: Vec<u32> = (1..=nodes).collect();
    let mut left = all.clone();
    let mut at_ms = rng.random_range(500..trouble_ms / 2);
    // Short: the next one goes before the last one is back.
    let pause_ms = if rng.random_bool(0.3) { rng.random_range(1..500) } else { rng.random_range(500..4_000) };
    let mut planned = Vec::new();
    while !left.is_empty() {
        let node = Target::Node(left.remove(rng.random_range(0..left.len())));
        planned.push(Planned { at_ms, node, fault: restart(false, &mut rng) });
        at_ms += rng.random_range(pause_ms..=2 * pause_ms);
    }
    if rng.random_bool(0.5) {
        // Something is not as they hoped: one goes back. In the end it is upgraded with those that are left.
        let Planned { at_ms, node, .. } = planned[rng.random_range(0..planned.len())];
        let at_ms = at_ms + rng.random_range(1_500..4_000);
        planned.push(Planned { at_ms, node, fault: restart(true, &mut rng) });
    }
    planned.retain(|planned| planned.at_ms < trouble_ms);
    (all, planned)
}

fn restart(back: bool, rng: &mut impl RngExt) -> Fault {
    Fault::Upgrade { down_ms: rng.random_range(50..1_500), graceful: rng.random_bool(0.6), back }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, plan};
    use super::*;

    fn upgrades(plan: &Plan) -> Vec<(Target, bool)> {
        let of = |planned: &Planned| match planned.fault {
            Fault::Upgrade { back, .. } => Some((planned.node, back)),
            _ => None,
        };
        plan.faults.iter().filter_map(of).collect()
    }

    #[test]
    fn each_node_of_some_clusters_is_upgraded_once_and_one_of_them_may_go_back() {
        let (mut rolling, mut back) = (0, 0);
        for plan in (0..200).map(|seed| plan(seed, Some(3), false)) {
            let upgrades = upgrades(&plan);
            if plan.previous_version.is_empty() {
                assert_eq!(upgrades, []);
                continue;
            }
            assert_eq!(plan.previous_version, [1, 2, 3]);
            rolling += 1;
            for (nth, (node, goes_back)) in upgrades.iter().enumerate() {
                assert_eq!(upgrades[..nth].contains(&(*node, false)), *goes_back);
                back += u32::from(*goes_back);
            }
        }
        assert!((30..100).contains(&rolling) && (10..rolling).contains(&back), "{rolling}, {back}");
    }

    #[test]
    fn a_node_alone_and_clusters_with_a_mirror_between_them_are_of_today() {
        for seed in 0..100 {
            let mirrored = plan(seed, Some(3), true);
            let there = mirrored.mirror.as_ref().unwrap().destination.as_ref();
            for plan in [&plan(seed, Some(1), false), &mirrored, there] {
                assert_eq!((plan.previous_version.len(), upgrades(plan)), (0, Vec::new()));
            }
        }
    }
}
