//! Time as this node sees it. In the simulation each node's clock may run fast or slow and its wall
//! clock may jump (`sim::set_skew`); the monotonic clock never goes back.

use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

#[cfg(not(madsim))]
mod real;
#[cfg(not(madsim))]
use real as source;
#[cfg(madsim)]
mod simulated;
#[cfg(madsim)]
use simulated as source;

/// A point on this node's monotonic clock. Means nothing on another node, or after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Since an arbitrary origin; signed, so that "an hour ago" exists right after the start.
    nanos: i64,
}

/// Milliseconds since 1970. May jump, in both directions: only the log's append times come from it, and what people
/// are told.
pub fn wall_ms() -> u64 {
    source::wall_ms()
}

pub fn now() -> Instant {
    Instant { nanos: source::monotonic_nanos() }
}

pub async fn sleep(duration: Duration) {
    source::sleep_until(now() + duration).await
}

pub async fn sleep_until(deadline: Instant) {
    source::sleep_until(deadline).await
}

/// The future's output, unless `duration` passes first. A future that is ready in time wins a tie.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    crate::select! {
        output = future => Ok(output),
        () = sleep(duration) => Err(Elapsed { after: duration }),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done after {after:?}")]
pub struct Elapsed {
    pub after: Duration,
}

impl Instant {
    pub fn elapsed(self) -> Duration {
        now() - self
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Saturates: a deadline of `Duration::MAX` is "never".
impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant { nanos: self.nanos.saturating_add(nanos(duration)) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, duration: Duration) -> Instant {
        Instant { nanos: self.nanos.saturating_sub(nanos(duration)) }
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

/// Zero if `earlier` is later, as in std.
impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos.saturating_sub(earlier.nanos)).unwrap_or(0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.nanos as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_sleep_takes_at_least_as_long_as_it_says() {
        let start = now();
        sleep(20 * MS).await;
        assert!(start.elapsed() >= 20 * MS);
        let deadline = now() + 5 * MS;
        sleep_until(deadline).await;
        assert!(now() >= deadline);
    }

    #[tokio::test]
    async fn a_timeout_ends_what_hangs_and_lets_pass_what_is_ready() {
        assert_eq!(timeout(5 * MS, pending::<()>()).await, Err(Elapsed { after: 5 * MS }));
        assert_eq!(timeout(Duration::ZERO, ready(7)).await, Ok(7));
        assert_eq!(timeout(Duration::MAX, ready(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn instants_reach_before_the_start_and_saturate_at_never() {
        let now = now();
        assert_eq!(now - (now - 3600 * 1000 * MS), 3600 * 1000 * MS);
        assert!(now + Duration::MAX > now);
        assert_eq!(now - (now + MS), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_wall_clock_is_past_2020() {
        assert!(wall_ms() > 1_577_836_800_000);
    }
}
