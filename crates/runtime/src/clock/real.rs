//! The operating system's clocks and tokio's timers.

use super::{Instant, now};
use std::sync::OnceLock;
use std::time::{self, SystemTime, UNIX_EPOCH};

pub fn wall_ms() -> u64 {
    // A clock before 1970 is a machine without a clock: 0 is as good an answer as any.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub fn monotonic_nanos() -> i64 {
    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    super::nanos(ORIGIN.get_or_init(time::Instant::now).elapsed())
}

pub async fn sleep_until(deadline: Instant) {
    tokio::time::sleep(deadline - now()).await
}
