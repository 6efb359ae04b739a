//! The administrator: trims and retention now and then.

use super::*;
use seedlog_client::{Fetch, Retention, Start};
use seedlog_runtime::rng::keyed;
use std::future::Future;
use std::ops::Range;

/// Trims now and then, up to somewhere in what was acked, and sometimes past all of it.
pub async fn trims(plan: Plan, world: World) {
    if plan.workload.trim_ms_mean == 0 {
        return;
    }
    let mut rng = keyed(plan.seed, &["trims".into()]);
    let mut caller = Caller::new(&plan, TRIMMER);
    while !world.stopping() {
        madsim::time::sleep(pause(plan.workload.trim_ms_mean, &mut rng)).await;
        let acked = world.lock().history.acked_next_offset();
        let first_offset =
            if rng.random_bool(0.1) { acked + rng.random_range(0..1_000) } else { rng.random_range(0..=acked) };
        let client = caller.fresh();
        let asked = async { client.trim(first_offset).await.map_err(|error| error.to_string()) };
        if !noted(&world, first_offset, asked).await {
            caller.failed();
        }
    }
}

/// One trim, asked of a node itself, at once: for a crash in the middle of it.
pub async fn trim(world: World, number: u32, machine: NodeId, first_offset: u64) {
    let (Some(agent), Some(node)) = (world.agent(number), Handle::current().get_node(machine)) else { return };
    // On the machine itself; if it goes down, so does this.
    let trim = node.spawn(async move { agent.node().trim(first_offset).await.map_err(|error| error.to_string()) });
    let trim = async {
        match madsim::time::timeout(PATIENCE, trim).await {
            Ok(Ok(trimmed)) => trimmed,
            Ok(Err(_)) => Err("the node went down".to_owned()),
            Err(_) => Err("no answer".to_owned()),
        }
    };
    noted(&world, first_offset, trim).await;
}

/// As [`trim`], of records that somebody on the machine has read before: what stands there twice is then seen, although
/// one of them is gone.
pub async fn read_and_trim(world: World, number: u32, machine: NodeId, records: Range<u64>) {
    let Some(node) = Handle::current().get_node(machine) else { return };
    let client = client_with(world.site(), number, Options { answer_max: PATIENCE, ..Options::default() });
    let Range { start, end } = records;
    let reading = node.spawn(async move {
        let (mut from, mut read) = (start, Vec::new());
        while from < end {
            let fetch =
                Fetch { start: Start::Offset(from), records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
            match client.fetch(fetch).await {
                Ok(records) => {
                    from += records.len() as u64;
                    read.push(records);
                }
                // Somebody else has trimmed, too.
                Err(error) => match error.out_of_range() {
                    Some(range) if from < range.start => from = range.start,
                    _ => break,
                },
            }
        }
        read
    });
    // If the machine goes down, so does this.
    for records in reading.await.unwrap_or_default() {
        asker::note(&world, ON_THE_SPOT, records);
    }
    trim(world, number, machine, end).await;
}

/// Whether it was confirmed.
async fn noted(world: &World, first_offset: u64, trim: impl Future<Output = Result<u64, String>>) -> bool {
    let called_ns = now_ns();
    let number = {
        let mut world = world.lock();
        let number = world.history.trims_open.last_key_value().map_or(0, |(number, _)| number + 1);
        world.history.trims_open.insert(number, first_offset);
        number
    };
    world.event(format!("trim to {first_offset}"));
    let trimmed = trim.await;
    world.event(format!("trim to {first_offset}: {trimmed:?}"));
    let Ok(answer) = trimmed else { return false };
    said(world, ADMIN, called_ns, Said::Trimmed { first: answer });
    world.fired("trim");
    let mut world = world.lock();
    world.history.trims_open.remove(&number);
    world.history.trims_done = world.history.trims_done.max(answer);
    true
}

/// Sets bounds now and then, and takes them away again. What the node then trims must leave as much as they
/// say.
pub async fn retention(plan: Plan, world: World) {
    if plan.workload.retention_ms_mean == 0 {
        return;
    }
    let mut rng = keyed(plan.seed, &["retention".into()]);
    let mut caller = Caller::new(&plan, ADMIN);
    // Bounds that were asked for and not confirmed may come into force at any time.
    let (mut sure, mut before) = (true, Retention::default());
    while !world.stopping() {
        madsim::time::sleep(pause(plan.workload.retention_ms_mean, &mut rng)).await;
        let segment = plan.config.segment_bytes_max;
        let retention = match rng.random_range(0..3) {
            0 => Retention::default(),
            1 => Retention { bytes_max: rng.random_range(segment..=20 * segment), age_ms_max: 0 },
            _ => Retention { bytes_max: 0, age_ms_max: rng.random_range(100..=10_000) },
        };
        world.lock().history.retention_called |= retention != Retention::default();
        let first_before = world.agents().iter().map(|(_, agent)| agent.node().range().0).max();
        let answer = caller.client().set_retention(retention).await;
        world.event(format!("retention {retention:?}: {answer:?}"));
        let alone = sure && before == Retention::default() && plan.workload.trim_ms_mean == 0;
        (sure, before) = (sure && answer.is_ok(), retention);
        // Time enough to be carried out, if nothing is in its way.
        madsim::time::sleep(Duration::from_millis(1_500)).await;
        let Ok(described) = caller.client().describe().await else {
            caller.failed();
            continue;
        };
        let trimmed = first_before.is_some_and(|first| described.first_offset > first);
        if !trimmed || retention == Retention::default() {
            continue;
        }
        world.fired("retention");
        // What is in flight may be in one segment.
        let largest = segment.max(plan.config.in_flight_bytes_max as u64) + plan.config.prewrite_bytes;
        // Each node of a cluster cuts its own batches, and so its own segments.
        let alone = alone && plan.nodes == 1;
        let trims_too = plan.faults.iter().any(|planned| planned.fault.kind() == "crash_in_trim");
        if alone && sure && !trims_too && described.bytes < retention.bytes_max.saturating_sub(largest) {
            let what = format!("retention by {retention:?} left only {} bytes", described.bytes);
            world.complain("acked survives", what);
        }
    }
}

/// Takes the bounds away, for good.
pub async fn keep_everything(mut caller: Caller) {
    while caller.client().set_retention(Retention::default()).await.is_err() {
        caller.failed();
        madsim::time::sleep(Duration::from_millis(100)).await;
    }
}
