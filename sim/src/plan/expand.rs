//! A seed becomes a plan.

use super::draw::draw;
use super::{Config, Fault, Network, Plan, Planned, Target, Way, Workload, buggify, upgrade};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::rng::keyed;

/// What a node of the simulation keeps free: small, as its disk is.
pub(super) const RESERVE_BYTES: u64 = 512 << 10;

/// How many seeds of a hundred have so many nodes.
const NODES: [(u32, u32); 3] = [(1, 20), (3, 55), (5, 25)];

/// The largest clusters of such a sweep.
pub(super) fn largest(nodes: Option<u32>) -> u32 {
    let drawn = NODES.iter().map(|(nodes, _)| *nodes).max();
    nodes.or(drawn).unwrap_or(1)
}

/// Expands a seed, by swarm: each seed has only some kinds of fault, and each of those more or less.
/// Every decision draws from its own stream, so that taking one fault away leaves the others as they are.
/// `nodes` is the size of the cluster if the seed is not to choose it; with `mirror` its log is mirrored into a second one.
pub fn plan(seed: u64, nodes: Option<u32>, mirror: bool) -> Plan {
    let plan = alone(seed, nodes);
    if mirror { plan.mirrored() } else { plan }
}

/// One cluster.
pub(super) fn alone(seed: u64, nodes: Option<u32>) -> Plan {
    let nodes = nodes.unwrap_or_else(|| draw_nodes(seed));
    let mut shape = keyed(seed, &["plan".into(), "shape".into()]);
    let mut trouble_ms = shape.random_range(8_000..20_000);
    let (mut quiet, mut most) = (0.5, 4u64);
    if nodes > 1 {
        // There are more kinds, and after most of them an election: a cluster that never comes to itself
        // shows less.
        let mut rng = keyed(seed, &["plan".into(), "density".into()]);
        (quiet, most) = (rng.random_range(0.55..0.9), 3);
        trouble_ms += 4_000;
    }
    let mut faults = Vec::new();
    for kind in Fault::kinds(nodes).filter(|kind| *kind != upgrade::KIND) {
        let mut swarm = keyed(seed, &["plan".into(), "swarm".into(), kind.into()]);
        if swarm.random_bool(quiet) {
            continue;
        }
        for nth in 0..swarm.random_range(1..=most) {
            let mut rng = fault_stream(seed, kind, nth);
            let at_ms = rng.random_range(500..trouble_ms);
            let fault = draw(kind, nodes, &mut rng);
            let node = if fault.has_target() { draw_target(seed, nodes, kind, nth) } else { Target::default() };
            faults.push(Planned { at_ms, node, fault });
        }
    }
    if draw_clients_of_the_cluster(seed, nodes).cluster_producers > 0 {
        // Long enough for a client that waits for the old leader to be noticed.
        let mut rng = keyed(seed, &["plan".into(), "fault".into(), "leader cut off".into()]);
        let way = if rng.random_bool(0.5) { Way::Both } else { Way::Out };
        let fault = Fault::Isolate { way, clients: false, for_ms: rng.random_range(8_000..12_000) };
        faults.push(Planned { at_ms: rng.random_range(500..trouble_ms), node: Target::Leader, fault });
    }
    let (previous_version, upgrades) = upgrade::draw(seed, nodes, trouble_ms);
    faults.extend(upgrades);
    faults.sort_by_key(|planned| planned.at_ms);
    let mut rng = keyed(seed, &["plan".into(), "config".into()]);
    // Segments are trimmed whole: behind a leader that is overtaken they must be full soon.
    let is_overtaken = faults.iter().any(|planned| matches!(planned.fault, Fault::Overtaken { .. }));
    let config = Config {
        segment_bytes_max: 1 << rng.random_range(12..=16).min(if is_overtaken { 13 } else { 16 }),
        index_rows_max: 1 << rng.random_range(3..=9),
        prewrite_bytes: if rng.random_bool(0.5) { 0 } else { 1 << rng.random_range(9..=14) },
        // What a start does not look at is found when it is read.
        start_check_bytes_max: [0, 8 << 10, 1 << 30][rng.random_range(0..3usize)],
        heartbeat_ms: rng.random_range(100..=200),
        in_flight_bytes_max: 128 << 10,
        reserve_bytes: RESERVE_BYTES,
        disk_step_us_max: 50 << rng.random_range(0..=8),
        scrub_bytes_per_s: 1 << rng.random_range(20..=24),
        scrub_pause_ms: rng.random_range(200..=3_000),
    };
    let mut calls = keyed(seed, &["plan".into(), "network".into(), "calls".into()]);
    let mut rng = keyed(seed, &["plan".into(), "network".into()]);
    let latency_ms_min = rng.random_range(1..=5);
    let network = Network {
        latency_ms_min,
        latency_ms_max: latency_ms_min + rng.random_range(0..=20),
        loss_per_mille: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..=20) },
        doubled_per_mille: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..=50) },
        calls_late_per_mille: if calls.random_bool(0.5) { 0 } else { calls.random_range(1..=1_000) },
        calls_doubled_per_mille: if calls.random_bool(0.5) { 0 } else { calls.random_range(1..=200) },
    };
    let mut rng = keyed(seed, &["plan".into(), "workload".into()]);
    let workload = Workload {
        producers: rng.random_range(1..=4),
        consumers: rng.random_range(1..=2),
        record_bytes_max: 1 << rng.random_range(5..=12),
        batch_records_max: rng.random_range(1..=8),
        pause_ms_mean: rng.random_range(5..=120),
        trim_ms_mean: if rng.random_bool(0.5) { 0 } else { rng.random_range(500..=4_000) },
        exactly_once: rng.random_range(0..=2),
        appenders: rng.random_range(0..=1),
        fencers: if rng.random_bool(0.6) { 0 } else { 2 },
        askers: rng.random_range(0..=2),
        retention_ms_mean: if rng.random_bool(0.7) { 0 } else { rng.random_range(500..=4_000) },
        ..draw_clients_of_the_cluster(seed, nodes)
    };
    let last_power_seed = shape.random_bool(0.7).then(|| shape.random());
    let last_rot_seed = shape.random_bool(0.3).then(|| shape.random());
    Plan {
        seed,
        nodes,
        site: 0,
        trouble_ms,
        last_power_seed,
        last_rot_seed,
        config,
        network,
        workload,
        faults,
        previous_version,
        buggify: buggify::draw(seed, nodes),
        expect: Vec::new(),
        failure: None,
        mirror: None,
    }
}

/// Who finds the cluster by itself; where there is only one node, nobody.
fn draw_clients_of_the_cluster(seed: u64, nodes: u32) -> Workload {
    let mut rng = keyed(seed, &["plan".into(), "clients of the cluster".into()]);
    if nodes == 1 || rng.random_bool(0.6) {
        return Workload::default();
    }
    let cluster_producers = rng.random_range(1..=2);
    Workload { cluster_producers, cluster_consumers: rng.random_range(1..=2), ..Workload::default() }
}

/// The stream of the `nth` fault of a kind.
fn fault_stream(seed: u64, kind: &str, nth: u64) -> ChaCha12Rng {
    keyed(seed, &["plan".into(), "fault".into(), kind.into(), nth.into()])
}

fn draw_nodes(seed: u64) -> u32 {
    let total = NODES.iter().map(|(_, weight)| weight).sum();
    let mut left = keyed(seed, &["plan".into(), "nodes".into()]).random_range(0..total);
    let chosen = NODES.iter().find(|(_, weight)| {
        let chosen = left < *weight;
        left = left.saturating_sub(*weight);
        chosen
    });
    chosen.map_or(1, |(nodes, _)| *nodes)
}

/// The leader more often than by chance: most mistakes are made around it.
fn draw_target(seed: u64, nodes: u32, kind: &str, nth: u64) -> Target {
    if nodes == 1 {
        return Target::default();
    }
    let mut rng = keyed(seed, &["plan".into(), "target".into(), kind.into(), nth.into()]);
    if rng.random_bool(0.4) { Target::Leader } else { Target::Node(rng.random_range(1..=nodes)) }
}

#[cfg(test)]
mod tests {
    use super::super::{Mirroring, mirror, points};
    use super::*;

    const SIZES: [u32; 3] = [1, 3, 5];

    #[test]
    fn a_plan_survives_its_toml() {
        for seed in 0..200 {
            let plan = plan(seed, Some(SIZES[seed as usize % 3]), seed % 2 == 0);
            let text = toml::to_string(&plan).unwrap();
            assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_by_some_seed() {
        for nodes in SIZES {
            let plans: Vec<Plan> = (0..100).map(|seed| plan(seed, Some(nodes), false)).collect();
            for kind in Fault::kinds(nodes) {
                assert!(plans.iter().any(|plan| plan.faults.iter().any(|f| f.fault.kind() == kind)), "{kind}");
            }
        }
    }

    #[test]
    fn every_fault_hits_a_node_that_there_is() {
        for seed in 0..200 {
            let plan = plan(seed, Some(3), false);
            for Planned { node, fault, .. } in plan.faults {
                assert!(matches!(node, Target::Leader | Target::Node(1..=3)));
                if let Fault::Partition { side, .. } | Fault::PowerLossSome { side, .. } = &fault {
                    assert!(matches!(side.len(), 1 | 2) && side.iter().all(|node| (1..=3).contains(node)));
                }
                if let Fault::SlowLink { other, .. } | Fault::BreakConnections { other: Some(other), .. } = fault {
                    assert!((1..=3).contains(&other));
                }
            }
        }
    }

    #[test]
    fn one_kind_more_or_less_does_not_change_the_others() {
        // Each fault draws from a stream named by kind and number alone.
        let alone = draw("slow_disk", 3, &mut fault_stream(9, "slow_disk", 0));
        let _ = draw("power_loss", 3, &mut fault_stream(9, "power_loss", 0));
        assert_eq!(alone, draw("slow_disk", 3, &mut fault_stream(9, "slow_disk", 0)));
    }

    #[test]
    fn every_point_is_switched_on_by_some_seed_and_none_where_it_cannot_be_come_to() {
        for nodes in SIZES {
            let plans: Vec<Plan> = (0..100).map(|seed| plan(seed, Some(nodes), false)).collect();
            let on = |point: &str| plans.iter().filter(|plan| plan.buggify.iter().any(|it| it.point == point)).count();
            assert!(points(nodes).all(|point| (10..60).contains(&on(point))));
            assert!(points(5).filter(|point| on(point) > 0).eq(points(nodes)));
            let all = plans.iter().flat_map(|plan| &plan.buggify);
            assert!(all.clone().all(|it| (1..=1_000).contains(&it.per_mille)) && all.count() > 0);
        }
    }

    #[test]
    fn a_plan_from_before_there_were_points_and_late_calls_is_one_without() {
        let old = include_str!("../../scenarios/a_trim_races_a_start_at_a_time.toml");
        let plan: Plan = toml::from_str(old).unwrap();
        assert_eq!(plan.buggify, []);
        assert_eq!((plan.network.calls_late_per_mille, plan.network.calls_doubled_per_mille), (0, 0));
    }

    #[test]
    fn a_mirror_changes_nothing_of_its_source_but_what_both_clusters_would_share() {
        for seed in 0..100 {
            let (one, two) = (plan(seed, Some(3), false), plan(seed, Some(3), true));
            let Mirroring { destination, crashes, .. } = two.mirror.unwrap();
            assert_eq!((one.config, one.workload), (two.config, two.workload));
            assert!(one.faults.iter().filter(|it| !mirror::excludes(true, it.fault.kind())).eq(&two.faults));
            assert_eq!((destination.site, &destination.network), (1, &two.network));
            assert!(!destination.trims() && destination.seed != seed);
            assert!(crashes.iter().all(|crash| crash.at_ms < two.trouble_ms));
        }
    }

    #[test]
    fn a_second_cluster_is_there_where_it_is_asked_for_and_changes_the_first_ones_faults_alone() {
        for seed in 0..100 {
            let (alone, mirrored) = (plan(seed, Some(3), false), plan(seed, Some(3), true));
            assert!(alone.mirror.is_none() && mirrored.mirror.is_some());
            assert!(mirrored.faults.iter().all(|planned| alone.faults.contains(planned)));
        }
    }

    #[test]
    fn a_seed_may_choose_the_size_of_its_cluster() {
        for seed in 0..200 {
            let nodes = plan(seed, None, false).nodes;
            assert!(NODES.iter().any(|(size, _)| *size == nodes));
        }
    }
}
