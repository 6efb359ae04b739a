//! How many calls may still be made, and how many records are done: shared by all who make them.

use seedlog_runtime::clock::{self, Instant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    Records(u64),
}

#[derive(Debug)]
pub struct Budget {
    started: Instant,
    deadline: Option<Instant>,
    calls_left: AtomicU64,
    records_done: AtomicU64,
}

impl Budget {
    /// Starts now.
    pub fn new(until: Until, records_a_call: u32) -> Budget {
        let started = clock::now();
        let (deadline, calls) = match until {
            Until::Elapsed(duration) => (Some(started + duration), u64::MAX),
            Until::Records(records) => (None, records.div_ceil(u64::from(records_a_call))),
        };
        Budget { started, deadline, calls_left: AtomicU64::new(calls), records_done: AtomicU64::new(0) }
    }

    /// Whether one more call may be made. Once it said no, it always does.
    pub fn take(&self) -> bool {
        if self.deadline.is_some_and(|deadline| clock::now() >= deadline) {
            return false;
        }
        self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| calls.checked_sub(1)).is_ok()
    }

    /// What was begun is finished, nothing more is begun.
    pub fn stop(&self) {
        self.calls_left.store(0, Ordering::Relaxed);
    }

    pub fn done(&self, records: u64) {
        self.records_done.fetch_add(records, Ordering::Relaxed);
    }

    pub fn records_done(&self) -> u64 {
        self.records_done.load(Ordering::Relaxed)
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_rounded_up_to_whole_calls_and_a_stop_is_final() {
        let budget = Budget::new(Until::Records(5), 2);
        assert_eq!((0..9).filter(|_| budget.take()).count(), 3);
        let budget = Budget::new(Until::Elapsed(Duration::from_secs(3600)), 1);
        assert!(budget.take());
        budget.stop();
        assert!(!budget.take());
        assert!(!Budget::new(Until::Elapsed(Duration::ZERO), 1).take());
    }
}
