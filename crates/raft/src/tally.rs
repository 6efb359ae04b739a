//! What a node counts of the care for its log, for whoever looks in: from 0 at each start of a node, and only upwards.
//!
//! It is there before the node is, since a start that repairs the log is much of what there is to count. So the numbers
//! go on when the node serves, and do not begin anew.

use seedlog_log::Scrubbed;
use seedlog_runtime::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Of one start of one node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tally {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    is_repairing: AtomicBool,
    repaired_entries: AtomicU64,
    lent_entries: AtomicU64,
    scrubbed_bytes: AtomicU64,
    scrub_passes: AtomicU64,
    scrub_damaged_segments: AtomicU64,
    scrub_ended_ms: AtomicU64,
}

/// A [`Tally`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tallied {
    /// The log was found damaged at the start, and is not whole again.
    pub is_repairing: bool,
    /// That others gave for it, whether or not they could be used.
    pub repaired_entries: u64,
    /// That others were given for their repair.
    pub lent_entries: u64,
    /// Of stores, that scrubs read and that are what was written.
    pub scrubbed_bytes: u64,
    /// Scrubs that came to the end of the log.
    pub scrub_passes: u64,
    /// Of which scrubs found something else. One that stays damaged counts in each pass.
    pub scrub_damaged_segments: u64,
    /// When the last pass came to the end, by the wall clock; none: none has.
    pub scrub_ended_ms: Option<u64>,
}

impl Tally {
    /// The numbers are of one moment each: nobody adds them up.
    pub fn now(&self) -> Tallied {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &*self.counts;
        Tallied {
            is_repairing: counts.is_repairing.load(Ordering::Relaxed),
            repaired_entries: of(&counts.repaired_entries),
            lent_entries: of(&counts.lent_entries),
            scrubbed_bytes: of(&counts.scrubbed_bytes),
            scrub_passes: of(&counts.scrub_passes),
            scrub_damaged_segments: of(&counts.scrub_damaged_segments),
            scrub_ended_ms: Some(of(&counts.scrub_ended_ms)).filter(|ms| *ms > 0),
        }
    }

    pub(crate) fn is_repairing(&self, is_repairing: bool) {
        self.counts.is_repairing.store(is_repairing, Ordering::Relaxed);
    }

    pub(crate) fn repaired(&self, entries: usize) {
        self.counts.repaired_entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(crate) fn lent(&self, entries: usize) {
        self.counts.lent_entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    /// One step of a scrub, whoever wanted it.
    pub(crate) fn scrubbed(&self, step: &Scrubbed) {
        let counts = &*self.counts;
        match step {
            Scrubbed::Sound { bytes } => drop(counts.scrubbed_bytes.fetch_add(*bytes, Ordering::Relaxed)),
            Scrubbed::Unsound { .. } => drop(counts.scrub_damaged_segments.fetch_add(1, Ordering::Relaxed)),
            Scrubbed::End => {
                counts.scrub_ended_ms.store(clock::wall_ms(), Ordering::Relaxed);
                counts.scrub_passes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
