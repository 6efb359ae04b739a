use super::world::with_node;
use madsim::plugin;
use madsim::task::NodeId;
use madsim::time::TimeHandle;
use std::time::Duration;

/// How a node's clocks differ from the world's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skew {
    /// Seconds on the node's clocks per second of the world. Above 0; sane hardware stays within a
    /// thousandth of 1, the simulation does not.
    pub rate: f64,
    /// Added to the wall clock. A change of it is a jump, and the monotonic clock does not see it.
    pub wall_offset_ms: i64,
}

impl Default for Skew {
    fn default() -> Self {
        Skew { rate: 1.0, wall_offset_ms: 0 }
    }
}

/// From now on. The node's monotonic clock goes on from where it is.
pub fn set_skew(node: NodeId, skew: Skew) {
    assert!(skew.rate > 0.0 && skew.rate.is_finite(), "a clock cannot run at the rate {}", skew.rate);
    let world = TimeHandle::current().elapsed();
    with_node(node, |node| {
        node.clock = NodeClock { world_start: world, local_start: node.clock.local_nanos(world), skew }
    });
}

pub fn skew_here() -> NodeClock {
    with_node(plugin::node(), |node| node.clock)
}

/// A straight line from the last change of rate.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeClock {
    world_start: Duration,
    local_start: i64,
    skew: Skew,
}

impl NodeClock {
    pub fn local_nanos(&self, world: Duration) -> i64 {
        let since = (world - self.world_start).as_nanos() as i64;
        // Exact where nothing is skewed: doubles hold whole nanoseconds for 104 days only.
        let since = if self.skew.rate == 1.0 { since } else { (since as f64 * self.skew.rate) as i64 };
        self.local_start + since
    }

    /// How long the world takes until the node's clocks have advanced by `local`, at today's rate.
    pub fn world_duration(&self, local: Duration) -> Duration {
        if self.skew.rate == 1.0 {
            return local;
        }
        let nanos = (local.as_nanos() as f64 / self.skew.rate).ceil();
        Duration::from_nanos(nanos as u64)
    }

    pub fn wall_offset_ms(&self) -> i64 {
        self.skew.wall_offset_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::sim::sleep_world;

    const SECOND: Duration = Duration::from_secs(1);

    /// A task switch, and the step that madsim adds at each timer.
    fn about(measured: Duration, expected: Duration) -> bool {
        measured.abs_diff(expected) < Duration::from_micros(5)
    }

    #[tokio::test]
    async fn a_fast_node_wakes_early_and_a_slow_one_late() {
        for (rate, world_ms) in [(1.25, 800), (1.0, 1000), (0.8, 1250)] {
            set_skew(plugin::node(), Skew { rate, wall_offset_ms: 0 });
            let (local, world) = (clock::now(), TimeHandle::current().elapsed());
            clock::sleep(SECOND).await;
            assert!(about(local.elapsed(), SECOND), "{:?}", local.elapsed());
            let took = TimeHandle::current().elapsed() - world;
            assert!(about(took, Duration::from_millis(world_ms)), "at rate {rate}: {took:?}");
        }
    }

    #[tokio::test]
    async fn a_change_of_rate_or_a_jump_leaves_the_monotonic_clock_continuous() {
        let node = plugin::node();
        let start = clock::now();
        let mut expected = Duration::ZERO;
        for (rate, wall_offset_ms) in [(2.0, 0), (0.5, 86_400_000), (1.0, -86_400_000), (1.1, 7)] {
            let before = clock::now();
            set_skew(node, Skew { rate, wall_offset_ms });
            assert_eq!(clock::now(), before);
            sleep_world(SECOND).await;
            expected += SECOND.mul_f64(rate);
            assert!(about(start.elapsed(), expected), "{:?}, not {expected:?}", start.elapsed());
        }
    }

    #[tokio::test]
    async fn only_the_wall_clock_jumps() {
        let node = plugin::node();
        let (wall, monotonic) = (clock::wall_ms(), clock::now());
        set_skew(node, Skew { rate: 1.0, wall_offset_ms: -3_600_000 });
        assert_eq!(clock::wall_ms(), wall - 3_600_000);
        assert_eq!(clock::now(), monotonic);
        set_skew(node, Skew { rate: 2.0, wall_offset_ms: 0 });
        assert_eq!(clock::wall_ms(), wall);
        sleep_world(SECOND).await;
        assert_eq!(clock::wall_ms(), wall + 2000);
    }

    #[tokio::test]
    async fn each_node_has_its_own_clock() {
        let other = madsim::runtime::Handle::current().create_node().build();
        set_skew(other.id(), Skew { rate: 2.0, wall_offset_ms: 0 });
        let theirs = other.spawn(async { clock::now() }).await.unwrap();
        let ours = clock::now();
        sleep_world(SECOND).await;
        let theirs = other.spawn(async move { theirs.elapsed() }).await.unwrap();
        assert!(about(ours.elapsed(), SECOND) && about(theirs, 2 * SECOND), "{:?} {theirs:?}", ours.elapsed());
    }

    #[tokio::test]
    async fn a_sleep_outlasts_a_slowdown_in_its_middle() {
        let node = plugin::node();
        let deadline = clock::now() + SECOND;
        let sleeper = crate::spawn(clock::sleep_until(deadline));
        sleep_world(SECOND / 2).await;
        set_skew(node, Skew { rate: 0.5, wall_offset_ms: 0 });
        sleeper.await.unwrap();
        assert!(clock::now() >= deadline);
    }

    #[tokio::test]
    async fn empty_sleeps_let_time_pass() {
        let start = TimeHandle::current().elapsed();
        for _ in 0..100 {
            clock::sleep(Duration::ZERO).await;
        }
        assert!(TimeHandle::current().elapsed() > start);
    }
}
