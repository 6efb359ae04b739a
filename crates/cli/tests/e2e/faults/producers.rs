//! Who produces: each record is sent again, to one node after the other, until it is acknowledged, with its producer's id
//! and its sequence, so that it is in the log once.

use super::check::Value;
use super::load::{Load, TRY_AGAIN_AFTER};
use futures_util::future::join;
use seedlog_client::{Conditions, Error, ProduceResults, ProduceSender, ProducerSequence, Record};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Requests of one stream at once; at most as many as are remembered.
const IN_FLIGHT_MAX: usize = 32;

/// One call after the other, so long after each answer: returns how many records it sent.
pub async fn one_by_one(load: Arc<Load>, producer: usize, pause: Duration) -> u64 {
    let mut turn = producer;
    let mut client = load.client(turn, 1);
    let mut sequence = 0;
    while !load.is_stopped() {
        let value = Value { producer, sequence };
        loop {
            let begun = Instant::now();
            match client.produce_if(vec![record(&load, value)], &conditions(value)).await {
                Ok(produced) => break load.acked(value, produced.first_offset, begun),
                Err(error) => load.failed(&format!("producer {producer}"), &error),
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
            turn += 1;
            client = load.client(turn, 1);
        }
        sequence += 1;
        tokio::time::sleep(pause).await;
    }
    sequence
}

/// Without waiting for answers, so long between them: returns how many records it sent.
pub async fn streaming(load: Arc<Load>, producer: usize, pause: Duration) -> u64 {
    let stream = Stream { load, producer, pause, answered: AtomicU64::new(0), next: AtomicU64::new(0) };
    let mut turn = producer;
    while !(stream.load.is_stopped() && stream.answered.load(Relaxed) == stream.next.load(Relaxed)) {
        let opened = stream.load.client(turn, IN_FLIGHT_MAX).produce_stream().await;
        let ended = match opened {
            Ok((sender, results)) => {
                let begun = Mutex::new(VecDeque::new());
                let (_, received) = join(stream.send(sender, &begun), stream.receive(results, &begun)).await;
                received
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            stream.load.failed(&format!("streaming producer {producer}"), &error);
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
        turn += 1;
    }
    stream.next.load(Relaxed)
}

struct Stream {
    load: Arc<Load>,
    producer: usize,
    pause: Duration,
    /// Sequences before this one are acknowledged.
    answered: AtomicU64,
    /// Those before this one were sent, once at least.
    next: AtomicU64,
}

impl Stream {
    /// Again from the first that was not answered, and then new ones.
    async fn send(&self, mut sender: ProduceSender, begun: &Mutex<VecDeque<Instant>>) -> Result<(), Error> {
        let mut sequence = self.answered.load(Relaxed);
        let mut beat = tokio::time::interval(self.pause);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if sequence == self.next.load(Relaxed) {
                if self.load.is_stopped() {
                    return Ok(());
                }
                beat.tick().await;
            }
            let value = Value { producer: self.producer, sequence };
            // Before it goes out: the answer may be there before this returns.
            self.next.fetch_max(sequence + 1, Relaxed);
            begun.lock().unwrap().push_back(Instant::now());
            sender.send_if(vec![record(&self.load, value)], &conditions(value)).await?;
            sequence += 1;
        }
    }

    async fn receive(&self, mut results: ProduceResults, begun: &Mutex<VecDeque<Instant>>) -> Result<(), Error> {
        while let Some(result) = results.next().await {
            let produced = result?;
            let begun = begun.lock().unwrap().pop_front().expect("answers are to what was sent");
            let value = Value { producer: self.producer, sequence: self.answered.load(Relaxed) };
            self.load.acked(value, produced.first_offset, begun);
            self.answered.store(value.sequence + 1, Relaxed);
        }
        results.take_ended_idle().map_or(Ok(()), Err)
    }
}

fn record(load: &Load, value: Value) -> Record {
    let mut bytes = value.to_string().into_bytes();
    if bytes.len() < load.value_bytes {
        bytes.push(b' ');
        bytes.resize(load.value_bytes, b'x');
    }
    Record { value: bytes.into(), ..Record::default() }
}

fn conditions(value: Value) -> Conditions {
    let id = format!("producer {}", value.producer);
    let producer = Some(ProducerSequence { id, sequence: value.sequence, gap_allowed: false });
    Conditions { producer, ..Conditions::default() }
}
