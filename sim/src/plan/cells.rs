//! What a sweep must have seen before it is called clean: each kind of fault, and what rarely becomes of them.

use super::expand::largest;
use super::{Fault, mirror, points};

/// All kinds of fault that some seed of a sweep has, with all its clusters of `nodes`, or of all sizes.
pub fn kinds(nodes: Option<u32>, mirror: bool) -> impl Iterator<Item = &'static str> {
    Fault::kinds(largest(nodes)).filter(move |kind| !mirror::excludes(mirror, kind))
}

/// What clients do, and what rarely becomes of it. A sweep in which one of these never happened fails, too.
const RARE: [&str; 21] = [
    "trim",
    "retention",
    "fence",
    "fenced",
    "describe",
    "start_at_a_time",
    "compared_and_appended",
    "compared_and_refused",
    "repeated",
    "waited_and_read",
    "waited_in_vain",
    "asked_past_the_end",
    "woken_by_a_record",
    "refused_without_room",
    "crash",
    "dir_entry_lost",
    "torn_write",
    "unsynced_lost",
    "node_stopped_itself",
    "start_failed",
    "power_loss_while_slow",
];

/// The same, of a node that has no others.
const RARE_ALONE: [&str; 1] = ["rot_refused"];

/// The same, in a cluster.
const RARE_IN_A_CLUSTER: [&str; 17] = [
    "leader_change",
    "step_down",
    "truncation",
    "snapshot_installed",
    "learner_promoted",
    "forwarded_produce",
    "repeated_by_the_cluster_client",
    "outvoted_and_power_gone",
    "read_index_on_follower",
    "taken_out",
    "whole_again",
    "repaired",
    "healed",
    "producer_ended_at_a_failure",
    "call_doubled",
    "call_served_late",
    "replaced_by_an_operator",
];

/// The same, where each log is mirrored.
const RARE_IN_A_MIRROR: [&str; 6] =
    ["mirrored", "mirror_crash", "mirror_went_on", "mirror_skipped_trimmed", "mirror_out_of_step", "mirror_in_trouble"];

/// The same, but where each log is mirrored.
const RARE_IN_A_CLUSTER_WITHOUT_A_MIRROR: [&str; 2] = ["mixed_versions", "rolled_back"];

/// What may not happen in a hundred seeds, but does in five hundred.
const RARER: [&str; 1] = ["rot_harmless"];

/// The same, of a node that has no others.
const RARER_ALONE: [&str; 1] = ["rot_unread"];

/// The same, in a cluster.
const RARER_IN_A_CLUSTER: [&str; 9] = [
    "overtaken_and_trimmed",
    "alone_with_an_outvoted_leader",
    "marked",
    "mark_settled",
    "lost_end_and_power",
    "writes_lost_without_a_trace",
    "lost_writes_noticed",
    "end_damaged",
    "end_repaired",
];

/// What a sweep of so many nodes must see only if it is a long one.
pub fn rarer(nodes: Option<u32>, mirror: bool) -> impl Iterator<Item = &'static str> {
    let in_a_cluster = if largest(nodes) > 1 { &RARER_IN_A_CLUSTER[..] } else { &[] };
    let rot = if mirror { &[] } else { &RARER[..] };
    let alone = if nodes.is_none_or(|nodes| nodes == 1) && !mirror { &RARER_ALONE[..] } else { &[] };
    rot.iter().chain(in_a_cluster).chain(alone).copied()
}

/// What a sweep of so many nodes, with mirrors or without, must see now and then, besides its faults.
pub fn rare(nodes: Option<u32>, mirror: bool) -> impl Iterator<Item = &'static str> {
    let in_a_cluster = if largest(nodes) > 1 { &RARE_IN_A_CLUSTER[..] } else { &[] };
    let unmirrored = if largest(nodes) > 1 && !mirror { &RARE_IN_A_CLUSTER_WITHOUT_A_MIRROR[..] } else { &[] };
    // No bit rots in the end where there is a mirror.
    let alone = if nodes.is_none_or(|nodes| nodes == 1) && !mirror { &RARE_ALONE[..] } else { &[] };
    let in_a_mirror = if mirror { &RARE_IN_A_MIRROR[..] } else { &[] };
    let rare = RARE.iter().chain(in_a_cluster).chain(unmirrored).chain(alone).chain(in_a_mirror).copied();
    rare.chain(points(largest(nodes)))
}
