//! The world's time through the node's skew.

use super::{Instant, now};
use crate::sim;
use std::time::{Duration, UNIX_EPOCH};

pub fn wall_ms() -> u64 {
    let world = madsim::time::TimeHandle::current();
    let origin = world.now_time().duration_since(UNIX_EPOCH).expect("the simulated world starts after 1970");
    // The wall clock drifts with the monotonic one, and jumps on its own.
    let skew = sim::skew_here();
    let origin_ms = (origin - world.elapsed()).as_millis() as i64;
    let ms = origin_ms + skew.local_nanos(world.elapsed()) / 1_000_000 + skew.wall_offset_ms();
    u64::try_from(ms).unwrap_or(0)
}

pub fn monotonic_nanos() -> i64 {
    sim::skew_here().local_nanos(madsim::time::TimeHandle::current().elapsed())
}

pub async fn sleep_until(deadline: Instant) {
    // The rate may change while we sleep, so look again. At least one nap, however short: a loop
    // of empty sleeps must let time pass.
    loop {
        let left = deadline - now();
        let nap = sim::skew_here().world_duration(left).max(Duration::from_nanos(1));
        sim::sleep_world(nap).await;
        if now() >= deadline {
            return;
        }
    }
}
