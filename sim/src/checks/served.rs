//! A client of the whole cluster is answered soon after a majority is at work, whatever becomes of the others: it
//! must not wait for a leader that is none any more.
//!
//! It knows no simulation: [`Served::see`] is told what is seen, and says what is wrong with it.

use crate::health::Health;
use std::collections::BTreeMap;

/// A call is answered when a majority has been settled, and within reach of all clients, for so long since it began.
pub const ANSWERED_MAX_NS: u64 = 3_000_000_000;

#[derive(Debug, Default)]
pub struct Served {
    /// When each client that waits began to.
    waiting: BTreeMap<u32, u64>,
    /// In which term a majority is settled, and since when.
    settled: Option<(u64, u64)>,
}

impl Served {
    /// A client of the cluster begins to wait, or has its answer.
    pub fn waits(&mut self, client: u32, since_ns: Option<u64>) {
        match since_ns {
            Some(since_ns) => _ = self.waiting.insert(client, since_ns),
            None => _ = self.waiting.remove(&client),
        }
    }

    /// `settled`: the term and the nodes of a majority in peace, if there is one.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn see(
        &mut self,
        now_ns: u64,
        health: &Health,
        settled: Option<(u64, impl Iterator<Item = u32>)>,
    ) -> Result<(), String> {
        let Some((term, nodes)) = settled else {
            self.settled = None;
            return Ok(());
        };
        let since_ns = match self.settled {
            Some((before, since_ns)) if before == term => since_ns,
            _ => now_ns,
        };
        self.settled = Some((term, since_ns));
        // All of them: those that a client cannot reach may be the ones that it would try.
        let reached =
            nodes.map(|node| health.reached(node)).try_fold(since_ns, |since, reached| Some(since.max(reached?)));
        let Some(reached) = reached else { return Ok(()) };
        let is_late = |began_ns: u64| began_ns.max(reached) + ANSWERED_MAX_NS <= now_ns;
        match self.waiting.iter().find(|(_, began_ns)| is_late(**began_ns)) {
            Some((client, began_ns)) => Err(format!(
                "client {client} of the cluster has waited for {} ms, although a majority has been at work in term {term} and within its reach for {} ms",
                (now_ns - began_ns) / 1_000_000,
                (now_ns - reached) / 1_000_000,
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// What is said at the end of so long, looked at every 10 ms, of a client that began to wait after 100 ms.
    fn after(ms: u64, settled: impl Fn(u64) -> Option<u64>, health: &Health) -> Result<(), String> {
        let mut served = Served::default();
        let mut said = Ok(());
        for at in (0..=ms).step_by(10) {
            if at == 100 {
                served.waits(1, Some(at * MS));
            }
            said = served.see(at * MS, health, settled(at).map(|term| (term, [1, 2].into_iter())));
        }
        said
    }

    #[test]
    fn an_answer_within_the_time_or_a_majority_that_changes_is_no_complaint() {
        assert!(after(3_090, |_| Some(1), &Health::default()).is_ok());
        assert!(after(5_000, |at| Some(at / 2_500), &Health::default()).is_ok());
        assert!(after(9_000, |_| None, &Health::default()).is_ok());
    }

    #[test]
    fn canary_a_client_that_waits_while_a_majority_is_at_work() {
        assert!(after(3_100, |_| Some(1), &Health::default()).is_err());
        assert!(after(5_500, |at| Some(u64::from(at > 2_400)), &Health::default()).is_err());
    }

    #[test]
    fn a_client_that_is_cut_off_waits_by_right() {
        let mut health = Health::default();
        health.reach(2, false, 0);
        assert!(after(9_000, |_| Some(1), &health).is_ok());
        health.reach(2, true, 7_000 * MS);
        assert!(after(9_000, |_| Some(1), &health).is_ok());
        assert!(after(10_000, |_| Some(1), &health).is_err());
    }
}
