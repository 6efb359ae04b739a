//! When an answer is overdue. A stream may be silent for as long as nothing is asked; what was asked must
//! be answered, and a large request on a slow link has its time to get there.

use seedlog_runtime::clock::{self, Instant};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// A link slower than this, bytes a second, is taken for one that makes no progress.
const RATE_MIN: u64 = 512 << 10;

/// Requests sent and not answered yet, which are answered in turn.
#[derive(Clone, Default)]
pub struct Owed {
    inner: Arc<Mutex<Inner>>,
    some: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    /// Of each request, its bytes.
    requests: VecDeque<usize>,
    bytes: usize,
    /// The last answer, or the first request after none was owed.
    since: Option<Instant>,
}

impl Owed {
    pub fn sent(&self, bytes: usize) {
        let mut inner = self.inner.lock().expect("no holder panics");
        if inner.requests.is_empty() {
            inner.since = Some(clock::now());
            self.some.notify_one();
        }
        inner.requests.push_back(bytes);
        inner.bytes += bytes;
    }

    pub fn answered(&self) {
        let mut inner = self.inner.lock().expect("no holder panics");
        let bytes = inner.requests.pop_front().unwrap_or_default();
        inner.bytes -= bytes;
        inner.since = (!inner.requests.is_empty()).then(clock::now);
    }

    fn deadline(&self, patience: Duration) -> Option<Instant> {
        let inner = self.inner.lock().expect("no holder panics");
        let on_the_way = Duration::from_millis(inner.bytes as u64 * 1_000 / RATE_MIN);
        inner.since.map(|since| since + patience + on_the_way)
    }

    /// Returns when an answer is owed and none has come for `patience`, and the time that the bytes may take.
    pub async fn overdue(&self, patience: Duration) {
        loop {
            match self.deadline(patience) {
                None => self.some.notified().await,
                Some(deadline) if clock::now() >= deadline => return,
                Some(deadline) => clock::sleep_until(deadline).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn is_overdue(owed: &Owed, patience: Duration, within: Duration) -> bool {
        clock::timeout(within, owed.overdue(patience)).await.is_ok()
    }

    #[tokio::test]
    async fn silence_is_no_failure_where_nothing_was_asked() {
        let owed = Owed::default();
        assert!(!is_overdue(&owed, 2 * MS, 30 * MS).await);
        owed.sent(1);
        owed.answered();
        assert!(!is_overdue(&owed, 2 * MS, 30 * MS).await);
    }

    #[tokio::test]
    async fn what_was_asked_is_owed_until_it_is_answered() {
        let owed = Owed::default();
        owed.sent(1);
        owed.sent(1);
        owed.answered();
        assert!(is_overdue(&owed, 5 * MS, 10_000 * MS).await);
    }

    #[tokio::test]
    async fn a_large_request_has_its_time_on_a_slow_link() {
        let owed = Owed::default();
        owed.sent(1 << 30);
        assert!(!is_overdue(&owed, 2 * MS, 30 * MS).await);
    }
}
