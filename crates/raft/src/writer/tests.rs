use super::*;
use crate::tail::Tail;
use crate::types::TypeConfig;
use bytes::Bytes;
use openraft::type_config::TypeConfigExt as _;
use seedlog_log::{EntryId, Kind};
use seedlog_runtime::disk::sim::{Fault, FaultKind};
use seedlog_runtime::disk::{Disk, SimDisk};
use std::path::Path;
use std::sync::Mutex;

const DIR: &str = "/groups/0";

struct World {
    disk: SimDisk,
    queue: Queue,
    reader: Reader,
    stop: Stop,
    /// Operations on stores and the vote, in order: "write 0", "sync 0", "rename vote.tmp" ..
    journal: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> World {
        let disk = SimDisk::new(1);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let config = seedlog_log::Config { prewrite_bytes: 0, ..seedlog_log::Config::default() };
        let opened = seedlog_log::open(shared.clone(), Path::new(DIR), config).unwrap();
        let journal = Arc::new(Mutex::new(Vec::new()));
        let noted = journal.clone();
        disk.observe(Box::new(move |event| {
            let name = event.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".store") || name.starts_with("vote") {
                let name = name.trim_start_matches('0');
                noted.lock().unwrap().push(format!("{} {name}", event.operation));
            }
        }));
        let stop = Stop::new();
        let queue = start(Parts {
            log: opened.writer,
            reader: opened.reader.clone(),
            vote: VoteFile::new(shared.clone(), Path::new(DIR), Default::default()),
            held: Arc::new(Held::new(Tail::new(None, None, 0), None, None)),
            space: Arc::new(Space::new(shared, DIR.into(), 0)),
            stop: stop.clone(),
        });
        World { disk, queue, reader: opened.reader, stop, journal }
    }

    fn append(&self, indexes: std::ops::Range<u64>, bytes: usize) -> Flushed {
        let entry = |index| Entry {
            id: EntryId { term: 1, index },
            kind: Kind::Membership,
            time_ms: 0,
            payload: Bytes::from(vec![0; bytes]),
        };
        let (sender, receiver) = TypeConfig::oneshot();
        let entries = indexes.map(entry).collect();
        self.ask(Request::Append { entries, epoch: 0, flushed: IOFlushed::signal(sender) });
        Box::pin(async { receiver.await.expect("every callback is called") })
    }

    fn vote(&self) -> Flushed {
        let (done, answer) = oneshot::channel();
        self.ask(Request::Vote { vote: Vote::new(1, 1), done });
        Box::pin(async { answer.await.expect("every request is answered") })
    }

    fn ask(&self, request: Request) {
        self.queue.send(request).unwrap_or_else(|_| panic!("the writer has ended"));
    }

    async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        self.ask(Request::Shutdown { done });
        // Dropped when done.
        let _ = ended.await;
    }

    /// What happened since the last look.
    fn happened(&self) -> Vec<String> {
        std::mem::take(&mut *self.journal.lock().unwrap())
    }

    fn last_index(&self) -> u64 {
        self.reader.next_index() - 1
    }
}

type Flushed = std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>;

#[tokio::test]
async fn what_is_queued_shares_a_write_and_a_sync() {
    let world = World::new();
    let flushed: Vec<_> = (0..10).map(|n| world.append(n * 3..n * 3 + 3, 10)).collect();
    for flushed in flushed {
        flushed.await.unwrap();
    }
    assert_eq!(world.happened(), ["write .store", "sync .store"]);
    assert_eq!(world.last_index(), 29);
}

#[tokio::test]
async fn a_note_of_what_is_committed_splits_no_batch_and_is_durable_with_the_next() {
    let world = World::new();
    world.append(0..1, 10).await.unwrap();
    world.happened();
    let first = world.append(1..2, 10);
    world.ask(Request::Committed { index: 0 });
    let second = world.append(2..3, 10);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(world.happened(), ["write .store", "sync .store"]);
    world.disk.power_loss(1);
    let again = seedlog_log::open(Arc::new(world.disk.clone()), Path::new(DIR), seedlog_log::Config::default());
    assert_eq!(again.unwrap().recovered.committed, Some(EntryId { term: 1, index: 0 }));
}

#[tokio::test]
async fn a_vote_between_two_appends_keeps_its_place() {
    let world = World::new();
    let (first, vote, second) = (world.append(0..1, 10), world.vote(), world.append(1..2, 10));
    first.await.unwrap();
    vote.await.unwrap();
    second.await.unwrap();
    let happened = world.happened();
    let at = |what: &str| happened.iter().rposition(|event| event == what).unwrap();
    let first_sync = happened.iter().position(|event| event == "sync .store").unwrap();
    assert!(first_sync < at("rename vote.tmp") && at("rename vote.tmp") < at("sync .store"), "{happened:?}");
    assert_ne!(first_sync, at("sync .store"));
}

#[tokio::test]
async fn a_batch_is_bounded_and_an_append_may_be_cut() {
    let world = World::new();
    let flushed = world.append(0..5, 3 << 20);
    flushed.await.unwrap();
    let batches = world.happened().iter().filter(|event| *event == "sync .store").count();
    // Two, two and one.
    assert_eq!((batches, world.last_index()), (3, 4));
}

#[tokio::test]
async fn a_truncation_is_carried_out_between_what_was_asked_before_and_after_it() {
    let world = World::new();
    let first = world.append(0..5, 10);
    world.ask(Request::Truncate { from: 2 });
    let second = world.append(2..3, 20);
    first.await.unwrap();
    second.await.unwrap();
    let entries = world.reader.entries(0, 9, usize::MAX).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.payload.len()).collect::<Vec<_>>(), [10, 10, 20]);
}

#[tokio::test]
async fn a_failed_sync_is_final_and_fails_all_that_is_queued_behind_it() {
    let world = World::new();
    world.append(0..1, 10).await.unwrap();
    let fault = Fault { kind: FaultKind::SyncError, path_suffix: Some(".store".into()), skip: 0, times: 1 };
    world.disk.inject(fault);
    let (first, vote, second) = (world.append(1..2, 10), world.vote(), world.append(2..3, 10));
    let error = first.await.unwrap_err().to_string();
    assert!(error.contains("sync") && error.contains("00000000000000000000.store"), "{error}");
    assert_eq!(vote.await.unwrap_err().to_string(), error);
    assert_eq!(second.await.unwrap_err().to_string(), error);
    assert_eq!(world.stop.stopped().await, crate::StopReason::Failed(error.clone()));
    // The fault is over, and still nothing is tried again.
    let operations = world.disk.operations();
    assert_eq!(world.append(1..2, 10).await.unwrap_err().to_string(), error);
    world.shutdown().await;
    assert_eq!(world.disk.operations(), operations);
}

#[tokio::test]
async fn a_failed_write_names_the_file_too() {
    let world = World::new();
    world.disk.inject(Fault { kind: FaultKind::WriteError, path_suffix: Some("vote.tmp".into()), skip: 0, times: 1 });
    let error = world.vote().await.unwrap_err().to_string();
    assert!(error.contains("/groups/0/vote"), "{error}");
    assert!(world.append(0..1, 10).await.is_err());
    assert_eq!(world.reader.next_index(), 0);
}

#[tokio::test]
async fn an_idle_log_is_sealed_once() {
    let world = World::new();
    let start = clock::now();
    world.append(0..1, 10).await.unwrap();
    assert_eq!(world.happened(), ["write .store", "sync .store"]);
    clock::timeout(Duration::from_secs(10), async {
        while world.journal.lock().unwrap().len() < 2 {
            clock::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("sealed by now");
    assert!(start.elapsed() >= IDLE);
    assert_eq!(world.happened(), ["write .store", "sync .store"]);
    world.shutdown().await;
    assert_eq!(world.happened(), Vec::<String>::new(), "there is nothing left to seal");
}

#[tokio::test]
async fn a_shutdown_comes_after_what_is_queued_and_seals() {
    let world = World::new();
    let flushed = world.append(0..1, 10);
    world.shutdown().await;
    flushed.await.unwrap();
    assert_eq!(world.happened(), ["write .store", "sync .store", "write .store", "sync .store"]);
    assert!(world.queue.send(Request::Tick).is_err());
}
