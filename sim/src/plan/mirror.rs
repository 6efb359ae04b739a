//! A second cluster, into which the first one's log is mirrored. It has faults of its own, and so has the mirror.

use super::expand::alone;
use super::{Plan, Workload, upgrade};
use rand::RngExt as _;
use seedlog_runtime::rng::keyed;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirroring {
    /// What is on its way takes at most so many bytes, about.
    pub room_bytes_max: usize,
    /// For how long a record is given to the destination, before it is asked how far it is.
    pub delivery_ms_max: u64,
    /// How often both clusters are asked who they are.
    pub look_every_ms: u64,
    #[serde(default, rename = "crash", skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<MirrorCrash>,
    pub destination: Box<Plan>,
}

/// The mirror's process goes, with all that it knows, and comes back after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorCrash {
    pub at_ms: u64,
    pub down_ms: u64,
}

/// The site of the destination; the source's is 0.
const DESTINATION: u32 = 1;

/// Kinds of fault that change what both clusters share, the network as a whole: each is told of its own faults only.
const SHARED: [&str; 1] = ["network_storm"];
/// And that make less of a record: the last release does not know where it was before.
const LESSENING: [&str; 1] = [upgrade::KIND];
/// And that trim: the copy is to be seen whole.
const TRIMMING: [&str; 2] = ["crash_in_trim", "overtaken"];

/// Whether a sweep of so many nodes, with mirrors or as the seeds choose, never has this kind of fault.
pub fn excludes(mirror: bool, kind: &str) -> bool {
    mirror && (SHARED.contains(&kind) || LESSENING.contains(&kind))
}

impl Plan {
    /// Somebody may trim the log.
    pub fn trims(&self) -> bool {
        let trimming = |kind: &str| TRIMMING.contains(&kind);
        let Workload { trim_ms_mean, retention_ms_mean, .. } = self.workload;
        trim_ms_mean > 0 || retention_ms_mean > 0 || self.faults.iter().any(|planned| trimming(planned.fault.kind()))
    }

    pub(super) fn mirrored(mut self) -> Plan {
        let mut rng = keyed(self.seed, &["plan".into(), "mirror".into()]);
        let nodes = if rng.random_bool(0.3) { 1 } else { 3 };
        let mut destination = alone(rng.random(), Some(nodes));
        self.faults.retain(|planned| !excludes(true, planned.fault.kind()));
        self.previous_version.clear();
        destination.previous_version.clear();
        destination.faults.retain(|planned| {
            let kind = planned.fault.kind();
            planned.at_ms < self.trouble_ms && !excludes(true, kind) && !TRIMMING.contains(&kind)
        });
        destination.workload = Workload {
            producers: rng.random_range(0..=1),
            exactly_once: rng.random_range(0..=1),
            consumers: 1,
            askers: rng.random_range(0..=1),
            record_bytes_max: destination.workload.record_bytes_max,
            batch_records_max: destination.workload.batch_records_max,
            pause_ms_mean: destination.workload.pause_ms_mean,
            ..Workload::default()
        };
        destination.site = DESTINATION;
        destination.network = self.network.clone();
        destination.trouble_ms = self.trouble_ms;
        // What the code does is so everywhere.
        destination.buggify.clear();
        // A node that refuses to start for a rotten bit would be missed by the mirror.
        (destination.last_rot_seed, self.last_rot_seed) = (None, None);
        let mut crashes: Vec<MirrorCrash> = (0..rng.random_range(0..=5))
            .map(|_| MirrorCrash {
                at_ms: rng.random_range(200..self.trouble_ms),
                down_ms: rng.random_range(1..=1_500),
            })
            .collect();
        crashes.sort_by_key(|crash| crash.at_ms);
        self.mirror = Some(Mirroring {
            room_bytes_max: 1 << rng.random_range(11..=17),
            delivery_ms_max: rng.random_range(1_000..=8_000),
            look_every_ms: rng.random_range(200..=2_000),
            crashes,
            destination: Box::new(destination),
        });
        self
    }
}
