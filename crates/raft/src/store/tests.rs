//! openraft's own suite, and what it does not ask: reads across a truncation, a purge, an installed snapshot.

use super::*;
use crate::applied::Progress;
use crate::heal::Healer;
use crate::machine::Machine;
use crate::space::Space;
use crate::stop::Stop;
use crate::types::{Payload, Proposal};
use crate::vote::VoteFile;
use crate::writer::{self, Parts};
use bytes::Bytes;
use openraft::storage::RaftStateMachine as _;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
use openraft::{RaftSnapshotBuilder as _, StorageError};
use seedlog_log::{EntryId, RecordBatch};
use seedlog_runtime::disk::{Disk, SimDisk};
use std::path::Path;

/// Little is kept in memory, and little fits into a segment: the disk is read, and purged.
fn open(disk: &SimDisk) -> (Store, Machine) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = Path::new("/groups/0");
    let config = seedlog_log::Config { segment_bytes_max: 600, prewrite_bytes: 0, ..seedlog_log::Config::default() };
    let opened = seedlog_log::open(shared.clone(), dir, config).unwrap();
    let recovered = opened.recovered;
    let vote = VoteFile::new(shared.clone(), dir, Default::default());
    let tail = Tail::new(recovered.last_purged, recovered.last, 200);
    let held = Arc::new(Held::new(tail, vote.read().unwrap(), recovered.committed.map(types::log_id)));
    let queue = writer::start(Parts {
        log: opened.writer,
        reader: opened.reader.clone(),
        vote,
        held: held.clone(),
        space: Arc::new(Space::new(shared, dir.to_owned(), 0)),
        stop: Stop::new(),
    });
    let start = opened.reader.first_checkpoint();
    let store = Store::new(held, queue, opened.reader, Healer::nobody());
    let progress = Progress::new((&recovered.checkpoint).into());
    (store.clone(), Machine::new(recovered.checkpoint, start, store, progress))
}

struct Build;

impl StoreBuilder<TypeConfig, Store, Machine> for Build {
    async fn build(&self) -> Result<((), Store, Machine), StorageError<TypeConfig>> {
        let (store, machine) = open(&SimDisk::new(1));
        Ok(((), store, machine))
    }
}

/// Not here, since this log does not do them, by design: entries that start at an index other than 0 in
/// an empty log, a purge past the log's end (a snapshot ahead of the log is installed first and moves
/// its start), and a snapshot at the last applied entry (ours is at a segment's boundary).
#[tokio::test]
async fn openrafts_suite() {
    type S = Suite<TypeConfig, Store, Machine, Build, ()>;
    macro_rules! run {
        ($($test:ident)*) => { $(
            let (_, store, machine) = Build.build().await.unwrap();
            if let Err(error) = S::$test(store, machine).await {
                panic!("{}: {error}", stringify!($test));
            }
        )* };
    }
    run! {
        last_membership_in_log_initial
        get_membership_initial
        get_membership_from_empty_log_and_sm
        get_initial_state_without_init
        get_initial_state_with_state
        get_initial_state_last_log_gt_sm
        get_initial_state_log_ids
        save_vote
        get_log_entries
        limited_get_log_entries
        leader_bounded_stream
        entries_stream
        try_get_log_entry
        log_reader_reads_new_entries
        initial_logs
        get_log_id
        last_id_in_log
        last_applied_state
        purge_logs_upto_0
        purge_logs_upto_5
        delete_logs_after_11
        delete_logs_after_5
        delete_logs_after_0
        delete_logs_after_none
        append_to_log
        snapshot_meta_optional
        apply_single
        apply_multiple
    }
}

fn records(term: u64, index: u64) -> RaftEntry {
    let payload = RecordBatch::from(vec![Bytes::from(format!("{term}.{index}"))]).encode();
    let proposal = Proposal { command: false, time_ms: 0, payload };
    RaftEntry::new(types::log_id(EntryId { term, index }), Payload::Normal(proposal))
}

fn trim(index: u64, first_offset: u64) -> RaftEntry {
    let payload = seedlog_log::Command::Trim { first_offset }.encode();
    let proposal = Proposal { command: true, time_ms: 0, payload };
    RaftEntry::new(types::log_id(EntryId { term: 1, index }), Payload::Normal(proposal))
}

/// Returns when they are durable.
async fn append(store: &mut Store, entries: impl IntoIterator<Item = RaftEntry, IntoIter: Send> + Send) {
    let (sender, flushed) = TypeConfig::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await.unwrap();
    flushed.await.unwrap().unwrap();
}

async fn apply(machine: &mut Machine, entries: impl IntoIterator<Item = RaftEntry, IntoIter: Send>) {
    let entries = stream::iter(entries.into_iter().map(|entry| Ok((entry, None))));
    machine.apply(entries).await.unwrap();
}

/// The log as a reader sees it: "term.index", in one line.
async fn seen(store: &mut Store) -> String {
    let ids = store.try_get_log_entries(..).await.unwrap();
    ids.iter().map(|entry| types::entry_id(&entry.log_id).to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_a_truncation_takes_is_gone_at_once_and_for_good() {
    let disk = SimDisk::new(1);
    let (mut store, _machine) = open(&disk);
    append(&mut store, (0..8).map(|index| records(1, index))).await;
    store.truncate_after(Some(types::log_id(EntryId { term: 1, index: 2 }))).await.unwrap();
    // Nobody has waited for the disk.
    assert_eq!(seen(&mut store).await, "1.0 1.1 1.2");
    let (sender, flushed) = TypeConfig::oneshot();
    store.append([records(2, 3), records(2, 4)], IOFlushed::signal(sender)).await.unwrap();
    assert_eq!(seen(&mut store).await, "1.0 1.1 1.2 2.3 2.4");
    flushed.await.unwrap().unwrap();
    assert_eq!(seen(&mut store).await, "1.0 1.1 1.2 2.3 2.4");
    disk.power_loss(1);
    assert_eq!(seen(&mut open(&disk).0).await, "1.0 1.1 1.2 2.3 2.4");
}

#[tokio::test]
async fn a_read_that_a_truncation_overtakes_shows_one_log_or_the_other() {
    for polls in 0..6 {
        let (mut store, _machine) = open(&SimDisk::new(1));
        append(&mut store, (0..8).map(|index| records(1, index))).await;
        let mut reader = store.clone();
        let reading = seedlog_runtime::spawn(async move { seen(&mut reader).await });
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        store.truncate_after(Some(types::log_id(EntryId { term: 1, index: 1 }))).await.unwrap();
        append(&mut store, (2..9).map(|index| records(2, index))).await;
        let seen = reading.await.unwrap();
        let logs = ["1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7", "1.0 1.1", "1.0 1.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8"];
        assert!(logs.iter().any(|log| log.starts_with(&seen)), "{seen}");
    }
}

#[tokio::test]
async fn what_is_purged_reads_as_nothing_not_as_an_error() {
    let (mut store, _machine) = open(&SimDisk::new(1));
    append(&mut store, (0..8).map(|index| records(1, index))).await;
    store.purge(types::log_id(EntryId { term: 1, index: 3 })).await.unwrap();
    assert_eq!(seen(&mut store).await, "1.4 1.5 1.6 1.7");
    assert!(store.limited_get_log_entries(2, 6).await.unwrap().is_empty());
    assert_eq!(store.limited_get_log_entries(4, 6).await.unwrap()[0], records(1, 4));
}

#[tokio::test]
async fn what_follows_a_snapshot_waits_until_it_is_installed() {
    let disk = SimDisk::new(1);
    let (mut store, mut machine) = open(&disk);
    append(&mut store, (0..3).map(|index| records(1, index))).await;
    let id = EntryId { term: 2, index: 9 };
    let checkpoint = Checkpoint { last: Some(id), ..Checkpoint::default() };
    let snapshot = types::snapshot_of(checkpoint).unwrap();
    let mut appending = store.clone();
    let appending = seedlog_runtime::spawn(async move { append(&mut appending, [records(2, 10)]).await });
    tokio::task::yield_now().await;
    machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    appending.await.unwrap();
    assert_eq!(seen(&mut store).await, "2.10");
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(types::log_id(id)));
    disk.power_loss(1);
    let (mut store, mut machine) = open(&disk);
    assert_eq!(seen(&mut store).await, "2.10");
    assert_eq!(machine.applied_state().await.unwrap().0, Some(types::log_id(id)));
    assert_eq!(machine.get_current_snapshot().await.unwrap().unwrap().meta, snapshot.meta);
}

#[tokio::test]
async fn a_snapshot_is_the_segment_boundary_below_the_trim_point_and_never_goes_back() {
    let disk = SimDisk::new(1);
    let (mut store, mut machine) = open(&disk);
    for index in 0..30 {
        append(&mut store, [records(1, index)]).await;
    }
    apply(&mut machine, (0..30).map(|index| records(1, index))).await;
    assert_eq!(machine.get_current_snapshot().await.unwrap().map(|snapshot| snapshot.meta), None);
    let none_yet = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(none_yet.meta.last_log_id, None);

    apply(&mut machine, [trim(30, 20)]).await;
    append(&mut store, [trim(30, 20)]).await;
    let built = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let last = built.meta.last_log_id.unwrap();
    assert!((1..20).contains(&last.index), "{last}");
    assert_eq!(built.snapshot.state.next_offset, last.index + 1);
    store.purge(last).await.unwrap();
    store.freed(last.index).await;

    // The file of the snapshot is the log's first segment's now: it is found again.
    append(&mut store, [records(1, 31)]).await;
    disk.power_loss(1);
    let (mut store, mut machine) = open(&disk);
    let found = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!((found.meta, found.snapshot), (built.meta, built.snapshot));
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(last));
    assert_eq!(store.try_get_log_entries(..).await.unwrap()[0].index(), last.index + 1);
}
