//! Rare but legal: what the product may do at any time, seldom does, and must bear.
//!
//! A point is a question in the product's code, `if buggify!("small_batch") { .. }`, whose answer is `false` outside the
//! simulation, at no cost. In it a seed switches some points on and says how often each answers `true`; each node draws
//! that for each point from a stream of its own, so that a point more or less changes no other decision.
//!
//! What stands behind a point must be right whenever it happens: a smaller batch, an earlier flush, a slower way to the
//! same answer. What may go wrong is a fault, and has its place in the simulation.

/// A place where something rare and legal may happen.
pub struct Point {
    pub name: &'static str,
    /// It takes several nodes to come to it.
    pub needs_several: bool,
    /// Of 1,000 times, at most: more, and what is seldom done would be all that is done.
    pub per_mille_max: u32,
    pub what: &'static str,
}

const fn alone(name: &'static str, per_mille_max: u32, what: &'static str) -> Point {
    Point { name, needs_several: false, per_mille_max, what }
}

const fn in_a_cluster(name: &'static str, per_mille_max: u32, what: &'static str) -> Point {
    Point { name, needs_several: true, per_mille_max, what }
}

/// All there are.
pub const POINTS: [Point; 11] = [
    alone("small_batch", 600, "the writer leaves for the next batch what this one had room for"),
    alone("early_seal", 600, "the writer seals its last batch although the log is busy"),
    alone("tiny_segments", 600, "a node begins a new segment after a KiB, from its start on"),
    alone("tail_forgotten", 1_000, "entries are read back from the disk although they were just written"),
    alone("few_records", 600, "a read gives one record although it may give more"),
    alone("woken_for_nothing", 600, "a tail looks for the next record, and asks the leader, before it was woken"),
    in_a_cluster("few_entries", 600, "a follower is sent one entry at a time"),
    in_a_cluster("append_ended", 30, "a follower ends the stream of appends, and the leader begins another"),
    in_a_cluster("autopilot_hesitates", 600, "the leader leaves a change of the membership for later"),
    in_a_cluster("short_batch", 600, "a client's producer sends less at a time than it has"),
    in_a_cluster("tail_moves_on", 100, "a client's tail goes on at another server, although nothing was wrong"),
];

/// Whether the point with this name is to do now what it seldom does. One that is not in [`POINTS`] does not compile.
#[macro_export]
macro_rules! buggify {
    ($point:literal) => {{
        const { assert!($crate::buggify::is_declared($point), "not one of seedlog_runtime::buggify::POINTS") };
        $crate::buggify::happens($point)
    }};
}

#[cfg(not(madsim))]
#[inline(always)]
pub const fn happens(_point: &'static str) -> bool {
    false
}

#[cfg(madsim)]
pub fn happens(point: &'static str) -> bool {
    crate::sim::buggified(point)
}

pub const fn is_declared(point: &str) -> bool {
    let mut nth = 0;
    while nth < POINTS.len() {
        if is_same(POINTS[nth].name.as_bytes(), point.as_bytes()) {
            return true;
        }
        nth += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut nth = 0;
    while nth < one.len() && nth < other.len() {
        if one[nth] != other[nth] {
            return false;
        }
        nth += 1;
    }
    one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_declared_whole_or_not_at_all() {
        assert!(POINTS.iter().all(|point| is_declared(point.name)));
        assert!(!is_declared("small") && !is_declared("small_batches") && !is_declared(""));
    }

    #[cfg(not(madsim))]
    #[test]
    fn outside_the_simulation_nothing_rare_happens() {
        const HAPPENS: bool = happens("small_batch");
        assert!(!HAPPENS && !buggify!("early_seal"));
    }
}
