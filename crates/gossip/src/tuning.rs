//! How SWIM is tuned: everything follows from the interval at which each node probes another.
//!
//! A member that does not answer is asked by way of three others, within the same interval; then it is
//! *suspected*, which everyone hears of, the suspect too, and it has [`SUSPICION_PROBES`] intervals to object.
//! So a lost datagram, or a lost probe, declares nobody dead; a node that is really gone is declared dead
//! after one probe, the suspicion, and the time until somebody happens to probe it: of five nodes mostly after
//! 5 to 7 intervals, and rarely after 10.

use crate::wire::FOCA_BYTES_MAX;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Below, a round trip and a busy processor look like a death; above, nobody would wait for it.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(50);
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Probe intervals in which a suspect may object.
const SUSPICION_PROBES: u32 = 4;
const INDIRECT_PROBES: usize = 3;
/// A piece of news rides on so many datagrams of each node that hears it.
const NEWS_DATAGRAMS: u8 = 12;
/// How long foca refuses a dead identity; a node that is back has a newer one. Our members live longer.
const DEAD_IDENTITY: Duration = Duration::from_secs(3600);

/// How long the direct answer to a probe is waited for; the rest of the interval is for the detour.
pub fn probe_timeout(probe_interval: Duration) -> Duration {
    probe_interval * 2 / 5
}

/// A node that was away for longer (stopped, starved) has no opinion on who answered meanwhile.
pub fn stall(probe_interval: Duration) -> Duration {
    probe_interval / 2
}

/// Until an address that did not answer is asked again; doubles up to [`contact_max`].
pub fn contact_min(probe_interval: Duration) -> Duration {
    probe_interval / 2
}

pub fn contact_max(probe_interval: Duration) -> Duration {
    probe_interval * 5
}

/// So often the addresses that answered are asked again, while somebody is missing.
pub fn contact_again(probe_interval: Duration) -> Duration {
    probe_interval * 15
}

/// So often some of the dead are asked whether they are back.
pub fn ask_the_dead(probe_interval: Duration) -> Duration {
    probe_interval * 5
}

pub fn foca(probe_interval: Duration) -> foca::Config {
    let some = |number| NonZeroUsize::new(number).expect("not zero");
    foca::Config {
        probe_period: probe_interval,
        probe_rtt: probe_timeout(probe_interval),
        num_indirect_probes: some(INDIRECT_PROBES),
        max_transmissions: NonZeroU8::new(NEWS_DATAGRAMS).expect("not zero"),
        suspect_to_down_after: probe_interval * SUSPICION_PROBES,
        remove_down_after: Some(DEAD_IDENTITY),
        max_packet_size: some(FOCA_BYTES_MAX),
        // Who was declared dead and is not must hear of it, to come back.
        notify_down_members: true,
        // Heals what news that got lost everywhere has left behind.
        periodic_announce: Some(foca::PeriodicParams { frequency: probe_interval * 10, num_members: some(1) }),
        // Ours knows the dead by node, and goes on when nobody is alive: `Task::ask_the_dead`.
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(foca::PeriodicParams { frequency: probe_interval / 5, num_members: some(3) }),
    }
}
