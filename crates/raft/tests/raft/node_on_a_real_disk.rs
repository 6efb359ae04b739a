//! A node in a temporary directory, over the real disk and the real clock.
#![cfg(not(madsim))]

use bytes::Bytes;
use seedlog_raft::{Node, NodeConfig, ProduceError, ReadError, Role, StopReason};
use seedlog_runtime::disk::{Disk, RealDisk};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn config() -> NodeConfig {
    let mut config = NodeConfig::new(1, 7, "127.0.0.1:8400");
    // A few entries a segment, so that a trim has something to free.
    config.log.segment_bytes_max = 2048;
    config.log.index_rows_max = 16;
    config.log.prewrite_bytes = 0;
    config.reserve_bytes = 0;
    config
}

async fn start(dir: &Path, config: NodeConfig) -> Node {
    let node = Node::start(Arc::new(RealDisk), dir.join("groups/0"), config).await.unwrap();
    node.ready().await.unwrap();
    node
}

fn record(number: u64) -> Bytes {
    format!("record {number} {}", "x".repeat(number as usize % 40)).into()
}

async fn produce(node: &Node, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(node.produce(vec![record(number)]).await.unwrap().first_offset, number);
    }
}

async fn assert_holds(node: &Node, offsets: std::ops::Range<u64>) {
    let mut at = offsets.start;
    while at < offsets.end {
        for read in node.read(at, 7, 1 << 20).await.unwrap() {
            assert_eq!((read.offset, read.bytes), (at, record(at)));
            at += 1;
        }
    }
    assert_eq!(at, offsets.end);
}

fn files(dir: &Path) -> usize {
    RealDisk.list(&dir.join("groups/0")).unwrap().len()
}

#[tokio::test]
async fn what_is_produced_is_read_and_is_still_there_after_restarts_and_a_trim() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config()).await;
    produce(&node, 0..100).await;
    assert_holds(&node, 0..100).await;
    node.shutdown().await;

    let node = start(dir.path(), config()).await;
    assert_eq!(node.range(), (0, 100));
    assert_holds(&node, 0..100).await;
    produce(&node, 100..120).await;
    let before = files(dir.path());
    assert_eq!(node.trim(60).await.unwrap(), 60);
    assert!(files(dir.path()) < before, "{before} files before the trim and no fewer after it");
    assert_eq!(node.range(), (60, 120));
    assert!(matches!(node.read(59, 1, 1).await, Err(ReadError::OutOfRange { asked: 59, first: 60, next: 120 })));
    assert_holds(&node, 60..120).await;
    node.shutdown().await;

    let node = start(dir.path(), config()).await;
    assert_eq!(node.range(), (60, 120));
    assert_holds(&node, 60..120).await;
    produce(&node, 120..125).await;
    // Trimmed to the very end, and once more.
    assert_eq!(node.trim(u64::MAX).await.unwrap(), 125);
    assert_eq!(node.trim(10).await.unwrap(), 125);
    produce(&node, 125..130).await;
    assert_holds(&node, 125..130).await;
    node.shutdown().await;
    let node = start(dir.path(), config()).await;
    assert_eq!(node.range(), (125, 130));
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_that_was_not_shut_down_has_lost_nothing_that_it_acked() {
    let dir = tempfile::tempdir().unwrap();
    {
        let runtime = std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async { produce(&start(dir.path(), config()).await, 0..30).await });
                // Dropped with every task in the middle of what it does.
            };
            scope.spawn(run).join()
        });
        runtime.unwrap();
    }
    let node = start(dir.path(), config()).await;
    assert_holds(&node, 0..30).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_concurrent_calls_each_gets_its_own_answer() {
    const CALLS: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), NodeConfig { log: Default::default(), ..config() }).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move { (number, node.produce(vec![record(number), record(number + 1)]).await) })
        })
        .collect();
    let mut offsets = Vec::new();
    for call in calls {
        let (number, produced) = call.await.unwrap();
        let produced = produced.unwrap();
        assert_eq!(produced.count, 2);
        let read = node.read(produced.first_offset, 2, usize::MAX).await.unwrap();
        assert_eq!(read.iter().map(|r| r.bytes.clone()).collect::<Vec<_>>(), [record(number), record(number + 1)]);
        offsets.push(produced.first_offset);
    }
    offsets.sort();
    assert_eq!(offsets, (0..CALLS).map(|call| call * 2).collect::<Vec<_>>());
    node.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_call_disturbs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config()).await;
    for number in 0..20 {
        // Proposed, and nobody waits for it.
        drop(node.propose(vec![record(number)]).await.unwrap());
    }
    assert_eq!(node.produce(vec![record(20)]).await.unwrap().first_offset, 20);
    assert_holds(&node, 0..21).await;
    node.shutdown().await;
}

#[tokio::test]
async fn who_waits_for_a_record_is_woken_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config()).await;
    let waiting = tokio::spawn({
        let node = node.clone();
        async move {
            node.wait_for(2).await;
            node.range()
        }
    });
    produce(&node, 0..3).await;
    assert!(waiting.await.unwrap().1 >= 3);
    // And by the end.
    let waiting = tokio::spawn({
        let node = node.clone();
        async move { node.wait_for(1000).await }
    });
    node.shutdown().await;
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_miss_is_confirmed_and_names_the_range() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config()).await;
    assert!(matches!(node.read(0, 1, 1).await, Err(ReadError::OutOfRange { asked: 0, first: 0, next: 0 })));
    produce(&node, 0..3).await;
    assert!(matches!(node.read(3, 1, 1).await, Err(ReadError::OutOfRange { asked: 3, first: 0, next: 3 })));
    assert_eq!(node.confirmed_range().await.unwrap(), (0, 3));
    node.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_produced_is_refused_before_it_is_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), NodeConfig { produce_bytes_max: 100, ..config() }).await;
    assert_eq!(node.produce(vec![]).await, Err(ProduceError::Empty));
    let large = vec![Bytes::from(vec![0; 100])];
    assert_eq!(node.produce(large).await, Err(ProduceError::TooLarge { bytes: 112, max: 100 }));
    assert_eq!(node.range(), (0, 0));
    node.shutdown().await;
    assert_eq!(node.produce(vec![record(0)]).await, Err(ProduceError::Stopped(StopReason::Shutdown)));
    assert_eq!(node.stopped().await, StopReason::Shutdown);
    assert_eq!(node.status().role, Role::Stopped);
}

#[tokio::test]
async fn a_disk_without_room_refuses_records_and_still_takes_a_trim() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config()).await;
    produce(&node, 0..50).await;
    node.shutdown().await;
    let node = start(dir.path(), NodeConfig { reserve_bytes: u64::MAX, ..config() }).await;
    assert!(matches!(node.produce(vec![record(50)]).await, Err(ProduceError::DiskFull { .. })));
    assert_holds(&node, 0..50).await;
    assert_eq!(node.trim(40).await.unwrap(), 40);
    node.shutdown().await;
}

#[tokio::test]
async fn a_lone_voter_leads_soon_after_its_start() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let node = start(dir.path(), NodeConfig { heartbeat: Duration::from_secs(60), ..config() }).await;
        let status = node.status();
        assert_eq!((status.role, status.leader_id, status.members.len()), (Role::Leader, Some(1), 1));
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_lost_vote_or_a_lost_log_is_refused_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let group = dir.path().join("groups/0");
    let node = start(dir.path(), config()).await;
    produce(&node, 0..3).await;
    node.shutdown().await;

    let refused = |dir: &Path| Node::start(Arc::new(RealDisk), dir.join("groups/0"), config());
    RealDisk.rename(&group.join("vote"), &group.join("elsewhere")).unwrap();
    let error = refused(dir.path()).await.err().expect("it has no vote").to_string();
    assert!(error.contains("vote"), "{error}");
    RealDisk.rename(&group.join("elsewhere"), &group.join("vote")).unwrap();

    for name in RealDisk.list(&group).unwrap().iter().filter(|name| *name != "vote") {
        RealDisk.remove(&group.join(name)).unwrap();
    }
    let error = refused(dir.path()).await.err().expect("it has a vote and no log").to_string();
    assert!(error.contains("its files are gone"), "{error}");
    assert_eq!(files(dir.path()), 1, "a refused start left files behind");
}
