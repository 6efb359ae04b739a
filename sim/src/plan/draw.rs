//! What a fault of each kind is like.

use super::expand::RESERVE_BYTES;
use super::{At, Damage, DiskError, Fault, Point, Way};
use rand::RngExt;

pub(super) fn draw(kind: &str, nodes: u32, rng: &mut impl RngExt) -> Fault {
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
        "misled" => {
            Fault::Misled { for_ms: rng.random_range(3_000..8_000), alone_ms: rng.random_range(500..2_500), down_ms }
        }
        "lost_end" => Fault::LostEnd {
            hidden_ms: rng.random_range(200..1_500),
            away_ms: rng.random_range(1_000..6_000),
            down_ms,
            again_ms: rng.random_bool(0.5).then(|| rng.random_range(10..1_500)),
            seed: power_seed,
        },
        "lost_writes" => {
            // Of a newest segment that cannot be read nobody can say anything, and the start is refused.
            let kinds = [Damage::Rot, Damage::Misdirected, Damage::Cut, Damage::Lost];
            let what = rng.random_bool(0.5).then(|| kinds[rng.random_range(0..kinds.len())]);
            Fault::LostWrites { for_ms: rng.random_range(500..4_000), down_ms, seed: power_seed, what }
        }
        "new_address" => Fault::NewAddress { down_ms },
        "bit_rot" => draw_damage(Damage::Rot, down_ms, rng),
        "latent_sector" => draw_damage(Damage::Unreadable, down_ms, rng),
        "misdirected_write" => draw_damage(Damage::Misdirected, down_ms, rng),
        "cut_store" => draw_damage(Damage::Cut, down_ms, rng),
        "lost_segment" => draw_damage(Damage::Lost, down_ms, rng),
        "crash_at_sync" | "crash_at_rename" | "crash_at_removal" | "crash_at_ack" => {
            let points = Point::of(kind);
            let point = points[rng.random_range(0..points.len())];
            let skip = if rng.random_bool(0.5) { 0 } else { rng.random_range(0..8) };
            let at = [At::Before, At::After][rng.random_range(0..2usize)];
            let power_seed = rng.random_bool(0.7).then_some(power_seed);
            Fault::CrashAtPoint { point, skip, at, power_seed, within_ms: rng.random_range(2_000..8_000), down_ms }
        }
        "restart_loop" => Fault::RestartLoop {
            times: rng.random_range(3..=8),
            up_ms: if rng.random_bool(0.5) { rng.random_range(1..=100) } else { rng.random_range(1..=900) },
            down_ms: rng.random_range(1..=200),
            power_seed: rng.random_bool(0.5).then_some(power_seed),
        },
        "power_loss_some" => Fault::PowerLossSome {
            side: draw_side(nodes, rng),
            down_ms,
            spread_ms: rng.random_range(0..=2_000),
            power_seed,
        },
        "disk_errors" => Fault::DiskErrors {
            what: [DiskError::Sync, DiskError::Write, DiskError::Read][rng.random_range(0..3usize)],
            path,
            for_ms: rng.random_range(300..3_000),
        },
        "flaky_space" => Fault::FlakySpace {
            for_ms: rng.random_range(500..5_000),
            free_bytes: rng.random_range(RESERVE_BYTES / 2..2 * RESERVE_BYTES),
        },
        "slow_link" => Fault::SlowLink {
            other: rng.random_range(1..=nodes),
            way: draw_way(rng),
            delay_ms: if rng.random_bool(0.5) { rng.random_range(5..=50) } else { rng.random_range(5..=500) },
            for_ms: rng.random_range(500..8_000),
        },
        "broken_connections" => Fault::BreakConnections {
            other: rng.random_bool(0.5).then(|| rng.random_range(1..=nodes)),
            times: rng.random_range(1..=10),
            every_ms: rng.random_range(1..=400),
        },
        "long_skew" => {
            const DAY_MS: i64 = 86_400_000;
            let by_ms = rng.random_range(DAY_MS..=10 * 365 * DAY_MS);
            Fault::LongSkew { by_ms: if rng.random_bool(0.5) { by_ms } else { -by_ms } }
        }
        "reconfigure" => Fault::Reconfigure {
            segment_bytes_max: 1 << rng.random_range(12..=16),
            index_rows_max: 1 << rng.random_range(3..=9),
            prewrite_bytes: if rng.random_bool(0.5) { 0 } else { 1 << rng.random_range(9..=14) },
            down_ms,
        },
        "replace" => Fault::Replace { down_ms, for_ms: rng.random_range(3_000..10_000) },
        other => unreachable!("no fault kind {other}"),
    }
}

fn draw_damage(what: Damage, down_ms: u64, rng: &mut impl RngExt) -> Fault {
    Fault::Damage { what, stores: rng.random_range(1..=4), seed: rng.random(), down_ms, live: rng.random_bool(0.5) }
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
