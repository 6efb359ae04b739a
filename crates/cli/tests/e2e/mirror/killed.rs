//! Everything is killed, on both sides, and the mirror too; in the end both logs are equal.

use super::side::{Side, as_mirrored, within, without_place};
use crate::node::{SOON, must, seedlog, text};
use seedlog_client::{Delivery, Header, ProducerOptions, Record};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const ROUNDS: usize = 2;

/// A running `seedlog mirror`.
struct Mirror {
    child: Child,
    stderr: PathBuf,
}

impl Mirror {
    fn start(from: &Side, to: &Side, stderr: PathBuf) -> Mirror {
        let file = File::options().create(true).append(true).open(&stderr).unwrap();
        let child = seedlog(&["mirror", "--from", &from.addr(), "--addr", &to.addr()])
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Mirror { child, stderr }
    }

    /// kill -9.
    fn kill(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended by itself: {}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // Already gone, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the mirror:\n{}", self.said());
        }
    }
}

/// The `nth` record; no two are alike, and every field is used.
fn record(nth: u64) -> Record {
    Record {
        value: format!("record {nth} {}", "x".repeat(nth as usize % 300)).into(),
        key: format!("key {}", nth % 7).into(),
        headers: vec![Header { name: "nth".into(), value: nth.to_string().into() }],
        timestamp_ms: (!nth.is_multiple_of(3)).then_some(nth as i64 - 50),
        r#type: (nth % 4) as u32,
        ..Record::default()
    }
}

/// Writes to the source until it is told to stop; then all of it has been acked. How many.
fn load(runtime: &Runtime, source: &Side, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    let producer = {
        let _inside = runtime.enter();
        source.client().producer(ProducerOptions::default())
    };
    runtime.spawn(async move {
        let (mut count, mut deliveries): (u64, Vec<Delivery>) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..10 {
                deliveries.push(producer.send(record(count)).await.unwrap());
                count += 1;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        count
    })
}

#[test]
fn whatever_is_killed_on_either_side_or_between_them_both_logs_are_equal_in_the_end() {
    let (mut source, mut destination) = (Side::start("source"), Side::start("destination"));
    let scratch = tempfile::tempdir().unwrap();
    let stderr = scratch.path().join("mirror");
    let runtime = Runtime::new().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let loading = load(&runtime, &source, stop.clone());
    let (from, to) = {
        let _inside = runtime.enter();
        (source.client(), destination.client())
    };
    // All that the source has now.
    let caught_up = || {
        let end = runtime.block_on(from.next_offset()).unwrap();
        within(SOON, "the destination has what the source had", || {
            runtime.block_on(to.next_offset()).is_ok_and(|next| next >= end)
        });
    };

    let mut mirror = Mirror::start(&source, &destination, stderr.clone());
    caught_up();
    for _ in 0..ROUNDS {
        let killed = source.kill_leader();
        caught_up();
        source.restart(killed);

        let killed = destination.kill_leader();
        caught_up();
        destination.restart(killed);

        mirror.kill();
        mirror = Mirror::start(&source, &destination, stderr.clone());
        caught_up();
    }
    // All three at once, with much on its way.
    let killed = (source.kill_leader(), destination.kill_leader());
    mirror.kill();
    source.restart(killed.0);
    destination.restart(killed.1);
    mirror = Mirror::start(&source, &destination, stderr);
    caught_up();

    stop.store(true, Ordering::Relaxed);
    let count = runtime.block_on(loading).unwrap();
    assert_eq!(mirror.terminate(), Some(0), "{}", mirror.said());
    let summary =
        must(&["mirror", "--from", &source.addr(), "--addr", &destination.addr(), "--once", "--output", "json"], b"");
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!((&summary["lag"], &summary["position"]), (&0.into(), &count.into()), "{summary}");

    let (there, here) = runtime.block_on(async { (source.read_all().await, destination.read_all().await) });
    let source_id = runtime.block_on(source.cluster_id());
    let made: Vec<Record> = (0..count).map(record).collect();
    let sent: Vec<Record> =
        there.iter().cloned().map(|it| Record { offset: 0, term: 0, append_time_ms: 0, ..it }).collect();
    assert!(sent == made, "the source has {} records, {count} were sent", sent.len());
    assert!(without_place(here) == as_mirrored(&there, &source_id), "the logs differ");

    let status = must(&["mirror", "--from", &source.addr(), "--addr", &destination.addr(), "--status"], b"");
    assert!(text(&status).contains("lag           0 records\n"), "{}", text(&status));
}
