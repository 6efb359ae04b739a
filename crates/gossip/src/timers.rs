use seedlog_runtime::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is to happen when; of what is due at the same time, what was asked for first comes first.
pub struct Timers<T> {
    waiting: BTreeMap<(Instant, u64), T>,
    asked: u64,
}

impl<T> Timers<T> {
    pub fn new() -> Timers<T> {
        Timers { waiting: BTreeMap::new(), asked: 0 }
    }

    pub fn add(&mut self, due: Instant, timer: T) {
        self.asked += 1;
        self.waiting.insert((due, self.asked), timer);
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// Time did not pass for us: everything is later by `duration`.
    pub fn postpone(&mut self, duration: Duration) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().map(|((due, asked), timer)| ((due + duration, asked), timer)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::clock;

    const MS: Duration = Duration::from_millis(1);

    fn drain(timers: &mut Timers<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| timers.pop_due(now)).collect()
    }

    #[tokio::test]
    async fn timers_fire_by_time_and_then_in_the_order_in_which_they_were_asked_for() {
        let (start, mut timers) = (clock::now(), Timers::new());
        assert_eq!(timers.next_due(), None);
        for (ms, name) in [(3, "c"), (1, "a"), (3, "d"), (2, "b")] {
            timers.add(start + ms * MS, name);
        }
        assert_eq!(timers.next_due(), Some(start + MS));
        assert_eq!(drain(&mut timers, start), [""; 0]);
        assert_eq!(drain(&mut timers, start + 2 * MS), ["a", "b"]);
        assert_eq!(drain(&mut timers, start + 3 * MS), ["c", "d"]);
    }

    #[tokio::test]
    async fn what_is_postponed_keeps_its_order_and_what_comes_after_its_place() {
        let (start, mut timers) = (clock::now(), Timers::new());
        timers.add(start + MS, "first");
        timers.add(start + MS, "second");
        timers.postpone(10 * MS);
        timers.add(start + 11 * MS, "third");
        timers.add(start + 5 * MS, "in between");
        assert_eq!(drain(&mut timers, start + 10 * MS), ["in between"]);
        assert_eq!(drain(&mut timers, start + 11 * MS), ["first", "second", "third"]);
    }
}
