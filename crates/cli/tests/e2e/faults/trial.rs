//! One trial: a cluster under load, what happens to it, and at the end the reckoning.

use super::check::{History, Read, violations};
use super::cluster::{Cluster, NODES, eventually};
use super::load::{Load, Resumed};
use super::network::in_a_network;
use super::{producers, tail};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// From the moment that a majority is back.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);
/// What the load is.
pub struct Shape {
    /// Producers that wait for each answer, and such that do not.
    pub calling: usize,
    pub streaming: usize,
    /// Of each: between an answer and the next call; between two requests of a stream.
    pub pause: Duration,
    /// Bytes of a value, at least.
    pub value_bytes: usize,
    pub tails: usize,
    pub segment_bytes_max: &'static str,
}

/// A few hundred records a second: with time left for those who have to recover.
pub const STEADY: Shape = Shape {
    calling: 2,
    streaming: 2,
    pause: Duration::from_millis(5),
    value_bytes: 0,
    tails: 2,
    segment_bytes_max: "64MiB",
};
/// So many records between one thing that happens and the next.
const SOME: usize = 200;
/// For all of it to be read, by everybody.
const READ_MAX: Duration = Duration::from_secs(60);

pub struct Trial {
    pub cluster: Cluster,
    pub load: Arc<Load>,
    producers: Vec<JoinHandle<u64>>,
    tails: Vec<JoinHandle<Vec<Read>>>,
}

/// What happens to the cluster happens in `test`.
pub fn trial(test: impl FnOnce(&mut Trial) + Send) {
    trial_of(&STEADY, test);
}

pub fn trial_of(shape: &Shape, test: impl FnOnce(&mut Trial) + Send) {
    in_a_network(|| {
        let mut trial = Trial::begin(shape);
        trial.some_more();
        test(&mut trial);
        trial.some_more();
        trial.reckon();
    });
}

impl Trial {
    fn begin(shape: &Shape) -> Trial {
        let cluster = Cluster::with_segments(shape.segment_bytes_max);
        let load = Arc::new(Load::new(cluster.addresses.clone(), shape.value_bytes));
        let produce = |number: usize| {
            let (load, runtime) = (load.clone(), &cluster.runtime);
            if number < shape.calling {
                runtime.spawn(producers::one_by_one(load, number, shape.pause))
            } else {
                runtime.spawn(producers::streaming(load, number, shape.pause))
            }
        };
        let producers = (0..shape.calling + shape.streaming).map(produce).collect();
        let tails = (0..shape.tails).map(|number| cluster.runtime.spawn(tail::follow(load.clone(), number))).collect();
        Trial { cluster, load, producers, tails }
    }

    /// Returns when the load has gone on for a while.
    pub fn some_more(&self) {
        let before = self.load.acked_count();
        eventually("the load goes on", || (self.load.acked_count() >= before + SOME).then_some(()));
    }

    /// Writes go on soon after `since`, when a majority was there (again).
    pub fn resumes(&self, since: Instant, after: &str) {
        let resumed = eventually("writes go on", || self.load.resumed(since, self.producers.len()));
        let Resumed { first, last, longest_pause } = resumed;
        eprintln!(
            "{after}: writes went on after {first:.2?}, those of all producers after {last:.2?}; longest \
             without an answer: {longest_pause:.2?}"
        );
        assert!(first.max(longest_pause) <= RESUMES_WITHIN, "{after}: {resumed:?}; {:#?}", self.load.failures());
    }

    /// Nothing lost, nothing doubled, no gap and no step back: on every node, and for all who followed.
    fn reckon(mut self) {
        self.cluster.all_vote();
        self.load.stop();
        let runtime = &self.cluster.runtime;
        // Clients are made here, and live there.
        let _entered = runtime.enter();
        let mut history = History::default();
        for (number, producer) in self.producers.drain(..).enumerate() {
            let sent = runtime.block_on(async { tokio::time::timeout(READ_MAX, producer).await });
            let sent = sent.unwrap_or_else(|_| panic!("producer {number} hangs: {:#?}", self.load.failures())).unwrap();
            history.sent.insert(number, sent);
        }
        history.acked = self.load.acks().iter().map(|ack| (ack.offset, ack.value)).collect();
        // What was written and not asked for is found, too: up to the log's own end.
        let leader = self.load.client(self.cluster.leader(), 1);
        let end = runtime.block_on(leader.describe()).unwrap().next_offset;
        self.load.ends_at(end);
        for (number, tail) in self.tails.drain(..).enumerate() {
            let seen = runtime.block_on(async { tokio::time::timeout(READ_MAX, tail).await });
            let seen = seen.unwrap_or_else(|_| panic!("tail {number} hangs: {:#?}", self.load.failures())).unwrap();
            history.followed.push((format!("tail {number}"), seen));
        }
        for number in 0..NODES {
            let client = self.load.client(number, 1);
            let log = runtime.block_on(async { tokio::time::timeout(READ_MAX, tail::whole(&client, end)).await });
            let log = log.unwrap_or_else(|_| panic!("{} hangs", self.cluster.name(number))).unwrap();
            history.logs.push((self.cluster.name(number).to_owned(), log));
        }
        let found = violations(&history);
        assert!(found.is_empty(), "{} violations: {:#?}", found.len(), &found[..found.len().min(20)]);
        assert_eq!(self.load.wrong(), [""; 0]);
        self.cluster.end_alike();
        let (acked, tails) = (history.acked.len(), history.followed.len());
        eprintln!("{acked} records acknowledged, each there once on {NODES} nodes and seen by {tails} tails in order");
        assert!(acked > SOME);
    }
}
