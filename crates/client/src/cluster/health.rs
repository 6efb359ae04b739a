//! Which addresses did not answer lately.

use seedlog_runtime::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who failed is passed over for so long, if there is anybody else.
const PASSED_OVER: Duration = Duration::from_secs(2);

/// When each address failed last; those that answered since are not in it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: BTreeMap<String, Instant>,
}

impl Health {
    pub fn failed(&mut self, address: &str, now: Instant) {
        self.failed.insert(address.to_owned(), now);
    }

    pub fn answered(&mut self, address: &str) {
        self.failed.remove(address);
    }

    /// The first that is well, or else the one whose failure is longest ago.
    pub fn best<'a>(&self, addresses: impl IntoIterator<Item = &'a String>, now: Instant) -> Option<&'a String> {
        // Of several at the same moment the first: min_by_key says so.
        addresses.into_iter().min_by_key(|address| match self.failed.get(*address) {
            Some(failed) if now - *failed < PASSED_OVER => Some(*failed),
            _ => None,
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
        assert_eq!(health.best(&all, start + PASSED_OVER * 2), Some(&all[0]));
        assert_eq!(health.best(&[], start), None);
    }
}
