//! When an answer is overdue. A stream may be silent for as long as nothing is asked; what was asked must
//! be answered, and a large request on a slow link has its time to get there.

use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::select;
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
    /// There is one request less.
    fewer: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    /// Of each request, its bytes.
    requests: VecDeque<usize>,
    bytes: usize,
    /// The last answer, or the first request after none was owed.
    since: Option<Instant>,
    last_sent: Option<Instant>,
}

impl Owed {
    pub fn sent(&self, bytes: usize) {
        let mut inner = self.inner.lock().expect("no holder panics");
        let now = clock::now();
        if inner.requests.is_empty() {
            inner.since = Some(now);
            self.some.notify_one();
        }
        inner.last_sent = Some(now);
        inner.requests.push_back(bytes);
        inner.bytes += bytes;
    }

    pub fn answered(&self) {
        let mut inner = self.inner.lock().expect("no holder panics");
        let bytes = inner.requests.pop_front().unwrap_or_default();
        inner.bytes -= bytes;
        inner.since = (!inner.requests.is_empty()).then(clock::now);
        self.fewer.notify_one();
    }

    /// Returns when nothing is owed, or `longest` after the last request was sent. For one who asks at a time.
    pub async fn settled(&self, longest: Duration) {
        let Some(sent) = self.last_sent() else { return };
        let nothing_owed = async {
            while self.last_sent().is_some() {
                self.fewer.notified().await;
            }
        };
        select! {
            () = nothing_owed => {}
            () = clock::sleep_until(sent + longest) => {}
        }
    }

    /// When the last request was sent, if any is owed an answer.
    fn last_sent(&self) -> Option<Instant> {
        let inner = self.inner.lock().expect("no holder panics");
        inner.last_sent.filter(|_| !inner.requests.is_empty())
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
    async fn what_comes_next_gathers_until_the_answer_but_not_for_long() {
        let owed = Owed::default();
        owed.settled(Duration::MAX).await;
        owed.sent(1);
        owed.sent(1);
        owed.answered();
        let start = clock::now();
        owed.settled(5 * MS).await;
        assert!(start.elapsed() >= 4 * MS, "one is owed still");
        let waits = owed.clone();
        let settled = tokio::spawn(async move { waits.settled(Duration::MAX).await });
        owed.answered();
        settled.await.unwrap();
    }

    #[tokio::test]
    async fn a_large_request_has_its_time_on_a_slow_link() {
        let owed = Owed::default();
        owed.sent(1 << 30);
        assert!(!is_overdue(&owed, 2 * MS, 30 * MS).await);
    }
}
