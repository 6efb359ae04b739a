//! What the load has seen so far, shared by those who produce, those who follow, and the test.

use super::check::Value;
use super::cluster::Addresses;
use seedlog_client::{ApiError, Client, Error, Options};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longer than an answer takes when all is well; short, so that a node that hangs is soon given up.
pub const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between two tries, when all nodes refuse at once.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

pub struct Load {
    addresses: Addresses,
    acks: Mutex<Vec<Ack>>,
    /// No new records are begun.
    stopped: AtomicBool,
    /// Where the log ends, once that is known.
    end: AtomicU64,
    /// Answers that no fault excuses.
    wrong: Mutex<Vec<String>>,
    /// Why a call was made again, the last of them: for people.
    failures: Mutex<VecDeque<String>>,
    /// Bytes of each value, at least.
    pub value_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Ack {
    pub value: Value,
    pub offset: u64,
    /// When the call was made that was answered.
    begun: Instant,
    at: Instant,
}

impl Load {
    pub fn new(addresses: Addresses, value_bytes: usize) -> Load {
        Load {
            addresses,
            acks: Mutex::default(),
            stopped: AtomicBool::new(false),
            end: AtomicU64::new(u64::MAX),
            wrong: Mutex::default(),
            failures: Mutex::default(),
            value_bytes,
        }
    }

    /// To one node after the other; a new connection each time.
    pub fn client(&self, turn: usize, in_flight_max: usize) -> Client {
        let address = {
            let addresses = self.addresses.lock().unwrap();
            addresses[turn % addresses.len()].clone()
        };
        // A produce stream ends at what fails: what is behind it is sent again, in order.
        let options = Options { answer_max: ANSWER_MAX, in_flight_max, past_errors: false, ..Options::default() };
        Client::connect_with(&address, options).unwrap()
    }

    pub fn acked(&self, value: Value, offset: u64, begun: Instant) {
        self.acks.lock().unwrap().push(Ack { value, offset, begun, at: Instant::now() });
    }

    pub fn acks(&self) -> Vec<Ack> {
        self.acks.lock().unwrap().clone()
    }

    pub fn acked_count(&self) -> usize {
        self.acks.lock().unwrap().len()
    }

    pub fn failed(&self, who: &str, error: &Error) {
        // Who sends what it has sent, in order, from where it was answered, within the window, is never refused so.
        // A tail that has seen a record never hears that the log ends before it.
        let refused = matches!(
            error,
            Error::Server(
                ApiError::SequenceGap { .. }
                    | ApiError::SequenceTooOld { .. }
                    | ApiError::OffsetOutOfRange { .. }
                    | ApiError::Internal { .. }
            ) | Error::BadAnswer { .. }
        );
        if refused {
            self.wrong.lock().unwrap().push(format!("{who}: {error}"));
        }
        let mut failures = self.failures.lock().unwrap();
        if failures.len() == 30 {
            failures.pop_front();
        }
        failures.push_back(format!("{who}: {error}"));
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().iter().cloned().collect()
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn ends_at(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    pub fn has_ended(&self, next: u64) -> bool {
        next >= self.end.load(Ordering::Relaxed)
    }

    /// How the load went on after `since`. None while one of the producers waits for its first answer.
    pub fn resumed(&self, since: Instant, producers: usize) -> Option<Resumed> {
        let acks = self.acks.lock().unwrap();
        let mut first = vec![None; producers];
        let (mut until, mut longest_pause) = (Instant::now(), Duration::ZERO);
        // They come in the order of their answers, and the newest are looked for.
        for ack in acks.iter().rev().take_while(|ack| ack.at >= since) {
            longest_pause = longest_pause.max(until.saturating_duration_since(ack.at));
            until = ack.at;
            if ack.begun >= since {
                first[ack.value.producer] = Some(ack.at - since);
            }
        }
        longest_pause = longest_pause.max(until.saturating_duration_since(since));
        let first: Vec<Duration> = first.into_iter().collect::<Option<_>>()?;
        Some(Resumed { first: *first.iter().min()?, last: *first.iter().max()?, longest_pause })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Resumed {
    /// Until a call that was made afterwards was answered: the first producer's, and the last one's.
    pub first: Duration,
    pub last: Duration,
    /// Without an answer to anybody.
    pub longest_pause: Duration,
}
