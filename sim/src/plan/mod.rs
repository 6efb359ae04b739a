//! A plan is data: the cluster, its configuration, the workload and every fault with its time. A seed
//! expands into one; its TOML can be run again without the seed's help.

mod fault;

pub use fault::{At, Fault, Planned, Target, Way};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::rng::keyed;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub seed: u64,
    /// How many nodes the cluster has.
    #[serde(default = "one")]
    pub nodes: u32,
    /// Simulated milliseconds under faults; then everything heals.
    pub trouble_ms: u64,
    /// After heal and a while of peace, the power goes once more; everything acked must come back.
    pub last_power_seed: Option<u64>,
    /// In the very end a synced bit flips: the node must refuse to start, or serve nothing wrong.
    pub last_rot_seed: Option<u64>,
    pub config: Config,
    pub network: Network,
    pub workload: Workload,
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Planned>,
}

/// Plans from before there were clusters do not say.
fn one() -> u32 {
    1
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub segment_bytes_max: u64,
    pub index_rows_max: u32,
    pub prewrite_bytes: u64,
    /// How much is read and checked at a start.
    pub start_check_bytes_max: u64,
    pub heartbeat_ms: u64,
    /// Produce calls under way hold at most this together.
    pub in_flight_bytes_max: usize,
    /// Below this much free space nothing is produced.
    pub reserve_bytes: u64,
    /// A disk step takes up to this long when nothing is slow, microseconds.
    pub disk_step_us_max: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub latency_ms_min: u64,
    pub latency_ms_max: u64,
    /// Of 1,000 messages, so many are lost.
    pub loss_per_mille: u32,
    /// Of 1,000 datagrams, so many arrive twice.
    #[serde(default)]
    pub doubled_per_mille: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Clients that produce, some unary, some pipelined.
    pub producers: u32,
    /// Clients that number their records and send again what was not answered.
    pub exactly_once: u32,
    /// Clients that append only where they think the end is.
    pub appenders: u32,
    /// Clients that take the log from each other with fencing tokens.
    pub fencers: u32,
    /// Clients that ask here and there.
    pub askers: u32,
    /// Clients that follow the tail.
    pub consumers: u32,
    pub record_bytes_max: u32,
    pub batch_records_max: u32,
    /// Mean pause between two produce calls of one client.
    pub pause_ms_mean: u64,
    /// Mean pause between two trims; 0: never trims.
    pub trim_ms_mean: u64,
    /// Mean pause between two changes of the retention; 0: everything is kept.
    pub retention_ms_mean: u64,
    /// Clients of the cluster as a whole that produce exactly once.
    #[serde(default)]
    pub cluster_producers: u32,
    /// And that follow its tail.
    #[serde(default)]
    pub cluster_consumers: u32,
}

/// What clients do, and what rarely becomes of it. A sweep in which one of these never happened fails, too.
const RARE: [&str; 15] = [
    "trim",
    "retention",
    "fence",
    "fenced",
    "describe",
    "start_at_a_time",
    "compared_and_appended",
    "compared_and_refused",
    "repeated",
    "waited_and_read",
    "waited_in_vain",
    "asked_past_the_end",
    "woken_by_a_record",
    "refused_without_room",
    "rot_refused",
];

/// The same, in a cluster.
const RARE_IN_A_CLUSTER: [&str; 11] = [
    "leader_change",
    "step_down",
    "truncation",
    "snapshot_installed",
    "learner_promoted",
    "forwarded_produce",
    "overtaken_and_trimmed",
    "outvoted_and_power_gone",
    "read_index_on_follower",
    "taken_out",
    "whole_again",
];

/// What a sweep of so many nodes must see now and then, besides its faults.
pub fn rare(nodes: Option<u32>) -> impl Iterator<Item = &'static str> {
    let in_a_cluster = if largest(nodes) > 1 { &RARE_IN_A_CLUSTER[..] } else { &[] };
    RARE.iter().chain(in_a_cluster).copied()
}

/// What a node of the simulation keeps free: small, as its disk is.
const RESERVE_BYTES: u64 = 512 << 10;

/// How many seeds of a hundred have so many nodes.
const NODES: [(u32, u32); 3] = [(1, 20), (3, 55), (5, 25)];

/// All kinds of fault that some seed of a sweep has, with all its clusters of `nodes`, or of all sizes.
pub fn kinds(nodes: Option<u32>) -> impl Iterator<Item = &'static str> {
    Fault::kinds(largest(nodes))
}

fn largest(nodes: Option<u32>) -> u32 {
    let drawn = NODES.iter().map(|(nodes, _)| *nodes).max();
    nodes.or(drawn).unwrap_or(1)
}

/// Expands a seed, by swarm: each seed has only some kinds of fault, and each of those more or less.
/// Every decision draws from its own stream, so that taking one fault away leaves the others as they are.
/// `nodes` is the size of the cluster if the seed is not to choose it.
pub fn plan(seed: u64, nodes: Option<u32>) -> Plan {
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
    for kind in Fault::kinds(nodes) {
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
    faults.sort_by_key(|planned| planned.at_ms);
    let mut rng = keyed(seed, &["plan".into(), "config".into()]);
    // Segments are trimmed whole: behind a leader that is overtaken they must be full soon.
    let is_overtaken = faults.iter().any(|planned| matches!(planned.fault, Fault::Overtaken { .. }));
    let config = Config {
        segment_bytes_max: 1 << rng.random_range(12..=16).min(if is_overtaken { 13 } else { 16 }),
        index_rows_max: 1 << rng.random_range(3..=9),
        prewrite_bytes: if rng.random_bool(0.5) { 0 } else { 1 << rng.random_range(9..=14) },
        start_check_bytes_max: [0, 8 << 10, 1 << 30][rng.random_range(0..3usize)],
        heartbeat_ms: rng.random_range(100..=200),
        in_flight_bytes_max: 128 << 10,
        reserve_bytes: RESERVE_BYTES,
        disk_step_us_max: 50 << rng.random_range(0..=8),
    };
    let mut rng = keyed(seed, &["plan".into(), "network".into()]);
    let latency_ms_min = rng.random_range(1..=5);
    let network = Network {
        latency_ms_min,
        latency_ms_max: latency_ms_min + rng.random_range(0..=20),
        loss_per_mille: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..=20) },
        doubled_per_mille: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..=50) },
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
    Plan { seed, nodes, trouble_ms, last_power_seed, last_rot_seed, config, network, workload, faults }
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

fn draw(kind: &str, nodes: u32, rng: &mut impl RngExt) -> Fault {
    let down_ms = rng.random_range(1..=1_500);
    let power_seed = rng.random();
    let path = ["vote.tmp", "vote.tmp", ".state.tmp", ".store.tmp", ".store", ".store", ".store", ".store"];
    let path = path[rng.random_range(0..path.len())].to_owned();
    match kind {
        "process_crash" => Fault::ProcessCrash { down_ms },
        "power_loss" => Fault::PowerLoss { down_ms, power_seed },
        "crash_at_disk_op" => Fault::CrashAtDiskOp {
            after_ops: if rng.random_bool(0.5) { rng.random_range(0..12) } else { rng.random_range(0..60) },
            at: draw_at(rng),
            power_seed: rng.random_bool(0.6).then_some(power_seed),
            down_ms,
        },
        "crash_then_power_loss" => {
            Fault::CrashThenPowerLoss { down_ms, then_ms: rng.random_range(1..=1_500), power_seed }
        }
        "sync_error" => Fault::SyncError { path, skip: rng.random_range(0..10) },
        "write_error" => Fault::WriteError { path, skip: rng.random_range(0..10) },
        "read_error" => Fault::ReadError { path: ".store".to_owned(), skip: rng.random_range(0..30) },
        "short_writes" => Fault::ShortWrites { times: rng.random_range(1..=20) },
        "slow_disk" => Fault::SlowDisk {
            for_ms: rng.random_range(200..4_000),
            step_ms_max: rng.random_range(5..=300),
            power_seed: rng.random_bool(0.4).then_some(power_seed),
        },
        "clock_jump" => Fault::ClockJump { by_ms: rng.random_range(-3_600_000..=3_600_000) },
        "clock_rate" => {
            Fault::ClockRate { per_mille: rng.random_range(800..=1_250), for_ms: rng.random_range(500..8_000) }
        }
        "graceful_restart" => Fault::GracefulRestart { down_ms },
        "crash_in_trim" => Fault::CrashInTrim {
            after_ops: rng.random_range(0..24),
            power_seed: rng.random_bool(0.7).then_some(power_seed),
            down_ms,
        },
        "cut_clients" => Fault::CutClients { for_ms: rng.random_range(100..3_000) },
        "disk_full" => Fault::DiskFull {
            for_ms: rng.random_range(500..4_000),
            free_bytes: rng.random_range(RESERVE_BYTES / 2..2 * RESERVE_BYTES),
        },
        "process_crash_all" => Fault::ProcessCrashAll { down_ms, spread_ms: rng.random_range(0..=2_000) },
        "power_loss_all" => Fault::PowerLossAll { down_ms, spread_ms: rng.random_range(0..=2_000), power_seed },
        "partition" => Fault::Partition {
            side: draw_side(nodes, rng),
            clients: rng.random_bool(0.3),
            for_ms: rng.random_range(300..6_000),
        },
        "isolate" => {
            Fault::Isolate { way: draw_way(rng), clients: rng.random_bool(0.3), for_ms: rng.random_range(300..6_000) }
        }
        "cut_link" => Fault::CutLink {
            other: rng.random_range(1..=nodes),
            way: draw_way(rng),
            for_ms: rng.random_range(300..8_000),
        },
        "flaky_link" => Fault::FlakyLink { other: rng.random_range(1..=nodes), for_ms: rng.random_range(500..6_000) },
        "network_storm" => Fault::NetworkStorm {
            loss_per_mille: if rng.random_bool(0.5) { 0 } else { rng.random_range(10..=200) },
            latency_ms_max: rng.random_range(20..=400),
            for_ms: rng.random_range(300..4_000),
        },
        "pause" => Fault::Pause { for_ms: rng.random_range(50..5_000) },
        "leader_transfer" => Fault::LeaderTransfer { to: rng.random_range(1..=nodes) },
        "wipe" => Fault::Wipe { down_ms },
        "leave" => Fault::Leave { down_ms },
        "overtaken" => {
            let for_ms = rng.random_range(2_000..8_000);
            // As long as it is heard, nobody else stands.
            Fault::Overtaken { heard_ms: if rng.random_bool(0.2) { for_ms } else { rng.random_range(20..250) }, for_ms }
        }
        "outvoted" => Fault::Outvoted {
            for_ms: rng.random_range(3_000..8_000),
            after_ops: rng.random_range(0..4),
            at: draw_at(rng),
            power_seed,
            down_ms,
        },
        "new_address" => Fault::NewAddress { down_ms },
        other => unreachable!("no fault kind {other}"),
    }
}

fn draw_at(rng: &mut impl RngExt) -> At {
    [At::Before, At::Inside, At::After][rng.random_range(0..3usize)]
}

fn draw_way(rng: &mut impl RngExt) -> Way {
    [Way::Both, Way::In, Way::Out][rng.random_range(0..3usize)]
}

/// Some of the nodes, not none and not all, in order.
fn draw_side(nodes: u32, rng: &mut impl RngExt) -> Vec<u32> {
    let size = rng.random_range(1..nodes) as usize;
    let mut all: Vec<u32> = (1..=nodes).collect();
    while all.len() > size {
        all.remove(rng.random_range(0..all.len()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u32; 3] = [1, 3, 5];

    #[test]
    fn a_plan_survives_its_toml() {
        for seed in 0..200 {
            let plan = plan(seed, Some(SIZES[seed as usize % 3]));
            let text = toml::to_string(&plan).unwrap();
            assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_by_some_seed() {
        for nodes in SIZES {
            let plans: Vec<Plan> = (0..100).map(|seed| plan(seed, Some(nodes))).collect();
            for kind in Fault::kinds(nodes) {
                assert!(plans.iter().any(|plan| plan.faults.iter().any(|f| f.fault.kind() == kind)), "{kind}");
            }
        }
    }

    #[test]
    fn every_fault_hits_a_node_that_there_is() {
        for seed in 0..200 {
            let plan = plan(seed, Some(3));
            for Planned { node, fault, .. } in plan.faults {
                assert!(matches!(node, Target::Leader | Target::Node(1..=3)));
                if let Fault::Partition { side, .. } = fault {
                    assert!(matches!(side.len(), 1 | 2) && side.iter().all(|node| (1..=3).contains(node)));
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
    fn a_seed_may_choose_the_size_of_its_cluster() {
        for seed in 0..200 {
            let nodes = plan(seed, None).nodes;
            assert!(NODES.iter().any(|(size, _)| *size == nodes));
        }
    }
}
