//! A clock that was set back. Append times never go back: they stand still until the clock has caught up
//! with the log, and whoever runs the node should know why.

use std::sync::atomic::{AtomicBool, Ordering};

/// Clocks differ by this much without anybody having set one.
const USUAL_MS: u64 = 60_000;

#[derive(Default)]
pub struct LateClock {
    told: AtomicBool,
}

impl LateClock {
    /// How far the clock is behind the log's last append time, if that is worth telling: once until it has
    /// caught up.
    pub fn look(&self, clock_ms: u64, log_ms: u64) -> Option<u64> {
        let behind_ms = log_ms.saturating_sub(clock_ms);
        if behind_ms == 0 {
            self.told.store(false, Ordering::Relaxed);
        }
        (behind_ms > USUAL_MS && !self.told.swap(true, Ordering::Relaxed)).then_some(behind_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_is_told_once_until_it_has_caught_up() {
        let late = LateClock::default();
        assert_eq!(late.look(5_000_000, 5_000_000), None);
        assert_eq!(late.look(5_000_000 - USUAL_MS, 5_000_000), None);
        assert_eq!(late.look(1_400_000, 5_000_000), Some(3_600_000));
        assert_eq!(late.look(1_400_001, 5_000_000), None);
        assert_eq!(late.look(5_000_001, 5_000_000), None);
        assert_eq!(late.look(1_400_000, 5_000_001), Some(3_600_001));
    }
}
