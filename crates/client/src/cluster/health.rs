//! Which addresses did not answer lately.

use seedlog_runtime::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who failed is passed over for so long, if there is anybody else: at first a moment, and each time that it fails again
/// when that is over twice as long as before, up to this.
const PASSED_OVER_LEAST: Duration = Duration::from_millis(500);
const PASSED_OVER_MOST: Duration = Duration::from_secs(8);

/// The failures of each address; those that answered since are not in it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: BTreeMap<String, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    /// The last one.
    at: Instant,
    passed_over: Duration,
}

impl Failure {
    fn counts(&self, now: Instant) -> bool {
        now - self.at < self.passed_over
    }
}

impl Health {
    pub fn failed(&mut self, address: &str, now: Instant) {
        let passed_over = match self.failed.get(address) {
            None => PASSED_OVER_LEAST,
            // Of the same outage: many calls may suffer from it.
            Some(before) if before.counts(now) => before.passed_over,
            Some(before) => (before.passed_over * 2).min(PASSED_OVER_MOST),
        };
        self.failed.insert(address.to_owned(), Failure { at: now, passed_over });
    }

    pub fn answered(&mut self, address: &str) {
        self.failed.remove(address);
    }

    /// The first that is well, or else the one whose failure is longest ago.
    pub fn best<'a>(&self, addresses: impl IntoIterator<Item = &'a String>, now: Instant) -> Option<&'a String> {
        // Of several at the same moment the first: min_by_key says so.
        addresses.into_iter().min_by_key(|address| {
            self.failed.get(*address).filter(|failure| failure.counts(now)).map(|failure| failure.at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::clock;

    #[tokio::test]
    async fn who_failed_is_passed_over_for_a_while_if_there_is_anybody_else() {
        let mut health = Health::default();
        let all = ["a", "b"].map(str::to_owned);
        let start = clock::now();
        assert_eq!(health.best(&all, start), Some(&all[0]));
        health.failed("a", start);
        assert_eq!(health.best(&all, start), Some(&all[1]));
        health.failed("b", start + Duration::from_millis(1));
        assert_eq!(health.best(&all, start + Duration::from_millis(1)), Some(&all[0]), "its failure is longer ago");
        health.answered("a");
        assert_eq!(health.best(&all, start), Some(&all[0]));
        health.failed("a", start);
        assert_eq!(health.best(&all, start + PASSED_OVER_LEAST * 2), Some(&all[0]));
        assert_eq!(health.best(&[], start), None);
    }

    #[tokio::test]
    async fn who_fails_again_and_again_is_tried_less_and_less_until_it_answers() {
        let mut health = Health::default();
        let all = ["a", "b"].map(str::to_owned);
        let mut now = clock::now();
        let passed_over = |health: &Health, since: Instant| {
            let ms = Duration::from_millis(1);
            (0..).find(|waited| health.best(&all, since + ms * *waited) == Some(&all[0])).unwrap()
        };
        let mut waited = Vec::new();
        for _ in 0..6 {
            // Two at once are one.
            health.failed("a", now);
            health.failed("a", now);
            waited.push(passed_over(&health, now));
            now += Duration::from_secs(10);
        }
        assert_eq!(waited, [500, 1000, 2000, 4000, 8000, 8000]);
        health.answered("a");
        health.failed("a", now);
        assert_eq!(passed_over(&health, now), 500);
    }
}
