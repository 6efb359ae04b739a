//! A run that goes on without anything happening: a task that spins at one simulated moment would never be found
//! by a check inside the simulation, and would hold up a sweep for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Events of this process so far; a run is one process.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// So long, by the wall, something always happens, on a busy machine, too.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub fn something_happened() {
    EVENTS.fetch_add(1, Ordering::Relaxed);
}

/// From now on this process ends, and says why, if nothing happens for a minute. To be called before a simulation
/// begins, which has no threads.
pub fn watch() {
    drop(std::thread::spawn(|| {
        let mut before = None;
        loop {
            let now = EVENTS.load(Ordering::Relaxed);
            if before == Some(now) {
                eprintln!("nothing has happened for {SILENCE_MAX:?} since event {now}: does a task spin?");
                std::process::exit(101);
            }
            before = Some(now);
            std::thread::sleep(SILENCE_MAX);
        }
    }));
}
