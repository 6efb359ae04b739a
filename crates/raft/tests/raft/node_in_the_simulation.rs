//! A node over a simulated disk that is killed and loses power in the middle of what it does.
#![cfg(madsim)]

use bytes::Bytes;
use madsim::runtime::Handle;
use rand::RngExt;
use seedlog_raft::{Node, NodeConfig, ReadError, Role, StopReason};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::disk::sim::{Fault, FaultKind};
use seedlog_runtime::sim::{Moment, Skew, crash_at_step, keyed_rng, set_skew};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn config() -> NodeConfig {
    let mut config = NodeConfig::new(1, 7, "10.0.0.1:8400");
    config.log.segment_bytes_max = 2048;
    config.log.index_rows_max = 16;
    // Little stays in memory: what is applied is read back from the disk.
    config.tail_bytes_max = 300;
    config
}

async fn start(disk: &SimDisk) -> Node {
    let node = Node::start(Arc::new(disk.clone()), "/groups/0".into(), config()).await.unwrap();
    node.ready().await.unwrap();
    node
}

/// What was acked, by offset; and up to where it may have been trimmed away.
#[derive(Default)]
struct Acked {
    records: BTreeMap<u64, Bytes>,
    trim_asked: u64,
    trimmed: u64,
    restarts: u64,
}

async fn check(node: &Node, acked: &Mutex<Acked>) {
    let (first, next) = node.range();
    let (records, trim_asked, trimmed) = {
        let acked = acked.lock().unwrap();
        (acked.records.clone(), acked.trim_asked, acked.trimmed)
    };
    assert!((trimmed..=trim_asked).contains(&first), "first {first}, acked trim {trimmed}, asked {trim_asked}");
    let last = records.keys().next_back();
    assert!(last.is_none_or(|last| *last < next), "acked up to {last:?}, and the log ends before {next}");
    for (offset, bytes) in records.range(first..) {
        assert_eq!(node.read(*offset, 1, 1).await.unwrap()[0].bytes, *bytes, "at {offset}");
    }
}

/// Produces from several tasks, and trims, until it is killed.
async fn live(disk: SimDisk, acked: Arc<Mutex<Acked>>, life: u64) {
    let node = start(&disk).await;
    check(&node, &acked).await;
    acked.lock().unwrap().restarts += 1;
    for producer in 0..3 {
        let (node, acked) = (node.clone(), acked.clone());
        seedlog_runtime::spawn(async move {
            for number in 0.. {
                let record = Bytes::from(format!("life {life}, producer {producer}, record {number}"));
                let produced = node.produce(vec![record.clone(); 1 + number % 3]).await.unwrap();
                let mut acked = acked.lock().unwrap();
                for offset in produced.first_offset..produced.first_offset + u64::from(produced.count) {
                    assert_eq!(acked.records.insert(offset, record.clone()), None, "{offset} was acked twice");
                }
            }
        });
    }
    loop {
        clock::sleep(Duration::from_millis(20)).await;
        let (first, next) = node.range();
        let upto = first + (next - first) / 2;
        acked.lock().unwrap().trim_asked = upto;
        let trimmed = node.trim(upto).await.unwrap();
        acked.lock().unwrap().trimmed = trimmed;
    }
}

#[tokio::test]
async fn what_was_acked_survives_kills_and_power_losses_at_any_step() {
    let mut work = (0, 0, 0);
    for seed in 0..30 {
        let mut rng = keyed_rng(&["test".into(), seed.into()]);
        let disk = SimDisk::new(seed);
        let acked = Arc::new(Mutex::new(Acked::default()));
        for life in 0..8 {
            let machine = Handle::current().create_node().build();
            if rng.random_bool(0.5) {
                let moment = if rng.random_bool(0.5) { Moment::Before } else { Moment::After };
                crash_at_step(machine.id(), rng.random_range(1..300), moment, || ());
            }
            let running = machine.spawn(live(disk.clone(), acked.clone(), life));
            clock::sleep(Duration::from_millis(rng.random_range(1..400))).await;
            assert!(!running.is_finished(), "seed {seed}, life {life} has ended by itself");
            Handle::current().kill(machine.id());
            if rng.random_bool(0.6) { disk.power_loss(seed * 100 + life) } else { disk.crash_process() }
        }
        let machine = Handle::current().create_node().build();
        let (disk, remembered) = (disk.clone(), acked.clone());
        let last = machine.spawn(async move {
            let node = start(&disk).await;
            check(&node, &remembered).await;
            node.shutdown().await;
        });
        last.await.unwrap();
        let Acked { records, restarts, trimmed, .. } = &*acked.lock().unwrap();
        work = (work.0 + restarts, work.1 + records.len(), work.2 + trimmed);
    }
    assert!(work.0 > 100 && work.1 > 10_000 && work.2 > 5_000, "too little happened: {work:?}");
}

#[tokio::test]
async fn a_failed_sync_stops_the_node_and_the_next_start_has_all_that_was_acked() {
    let disk = SimDisk::new(1);
    let node = start(&disk).await;
    let record = |number: u64| Bytes::from(format!("record {number}"));
    for number in 0..20 {
        node.produce(vec![record(number)]).await.unwrap();
    }
    disk.inject(Fault { kind: FaultKind::SyncError, path_suffix: Some(".store".into()), skip: 0, times: 1 });
    let (failed, waiter) = (node.produce(vec![record(20)]), node.wait_for(1000));
    let failed = failed.await.unwrap_err();
    assert!(matches!(failed, seedlog_raft::ProduceError::Unknown { .. }), "{failed:?}");
    waiter.await;
    let StopReason::Failed(reason) = node.stopped().await else { panic!("it has failed") };
    assert!(reason.contains("sync") && reason.contains(".store"), "{reason}");
    assert!(matches!(
        node.produce(vec![record(21)]).await,
        Err(seedlog_raft::ProduceError::Stopped(StopReason::Failed(_)))
    ));
    assert!(matches!(node.read(1000, 1, 1).await, Err(ReadError::Stopped(_))));
    assert_eq!(node.status().role, Role::Stopped);
    node.shutdown().await;
    disk.power_loss(1);
    let node = start(&disk).await;
    for number in 0..20 {
        assert_eq!(node.read(number, 1, 1).await.unwrap()[0].bytes, record(number));
    }
    assert!((20..=21).contains(&node.range().1));
}

#[tokio::test]
async fn calls_that_arrive_together_share_syncs() {
    const CALLS: u64 = 200;
    let disk = SimDisk::new(1);
    let node = start(&disk).await;
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = syncs.clone();
    disk.observe(Box::new(move |event| {
        if event.operation == "sync" && event.path.extension().is_some_and(|extension| extension == "store") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let mut proposed = Vec::new();
    for number in 0..CALLS {
        proposed.push(node.propose(vec![Bytes::from(number.to_string())]).await.unwrap());
    }
    for (number, pending) in proposed.into_iter().enumerate() {
        assert_eq!(pending.outcome().await.unwrap().first_offset, number as u64, "not in the order proposed");
    }
    let syncs = syncs.load(Ordering::Relaxed);
    assert!(syncs < CALLS / 4, "{syncs} syncs for {CALLS} calls");
}

#[tokio::test]
async fn a_lone_voter_waits_for_no_timeout_at_its_restart() {
    let disk = SimDisk::new(1);
    for life in 0..5 {
        let before = clock::now();
        let node = start(&disk).await;
        assert!(before.elapsed() < Duration::from_millis(500), "life {life} took {:?}", before.elapsed());
        node.produce(vec![Bytes::from_static(b"x")]).await.unwrap();
        node.shutdown().await;
        disk.crash_process();
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_an_hour_stops_the_append_times_and_nothing_else() {
    let disk = SimDisk::new(1);
    let mut node = start(&disk).await;
    let record = |number: u64| Bytes::from(number.to_string());
    let jump = |wall_offset_ms| set_skew(madsim::plugin::node(), Skew { rate: 1.0, wall_offset_ms });
    jump(3_600_000);
    node.produce(vec![record(0)]).await.unwrap();
    let before_ms = node.read(0, 1, 1).await.unwrap()[0].append_time_ms;

    jump(0);
    assert!(clock::wall_ms() < before_ms - 3_000_000);
    for number in 1..20 {
        node.produce(vec![record(number)]).await.unwrap();
        if number == 10 {
            node.shutdown().await;
            disk.crash_process();
            node = start(&disk).await;
        }
    }
    for number in 0..20 {
        let read = &node.read(number, 1, 1).await.unwrap()[0];
        assert_eq!((&read.bytes, read.append_time_ms), (&record(number), before_ms), "at {number}");
    }

    jump(3_700_000);
    node.produce(vec![record(20)]).await.unwrap();
    assert!(node.read(20, 1, 1).await.unwrap()[0].append_time_ms > before_ms + 90_000);
}
