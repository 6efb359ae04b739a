//! Places in the code with a name, just before and after which a machine may go down.

use seedlog_runtime::disk::sim as disk;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Of a batch.
    StoreSync,
    /// Of the fold at a segment's beginning.
    StateSync,
    VoteSync,
    /// Of names in the log's directory.
    DirectorySync,
    /// What makes the new one the vote.
    VoteRename,
    StateRename,
    /// What makes a new segment one.
    StoreRename,
    /// Where the log starts, before what lies in front of that is removed.
    StartRename,
    /// What was taken back is cut from the file.
    StoreCut,
    /// Of a segment that was trimmed or taken back.
    StoreRemoval,
    /// A client is told that its records are there.
    ProduceAck,
    /// The leader is told that a follower has its entries.
    AppendAck,
    /// A candidate is told that it has a vote.
    VoteAck,
    /// A node that asked the leader for a client is told what became of it.
    ForwardAck,
}

/// Where in the world a point lies.
pub enum Where {
    Disk(disk::Place),
    /// An answer to one of these methods.
    Answer(&'static [&'static str]),
}

impl Point {
    const SYNCS: [Point; 4] = [Point::StoreSync, Point::StateSync, Point::VoteSync, Point::DirectorySync];
    const RENAMES: [Point; 4] = [Point::VoteRename, Point::StateRename, Point::StoreRename, Point::StartRename];
    const REMOVALS: [Point; 2] = [Point::StoreCut, Point::StoreRemoval];
    const ACKS: [Point; 4] = [Point::ProduceAck, Point::AppendAck, Point::VoteAck, Point::ForwardAck];

    /// All that a kind of fault may draw.
    pub fn of(kind: &str) -> &'static [Point] {
        match kind {
            "crash_at_sync" => &Point::SYNCS,
            "crash_at_rename" => &Point::RENAMES,
            "crash_at_removal" => &Point::REMOVALS,
            _ => &Point::ACKS,
        }
    }

    pub fn kind(self) -> &'static str {
        let kinds = ["crash_at_sync", "crash_at_rename", "crash_at_removal"];
        kinds.into_iter().find(|kind| Point::of(kind).contains(&self)).unwrap_or("crash_at_ack")
    }

    pub fn place(self) -> Where {
        let disk = |operation, path_suffix| Where::Disk(disk::Place { operation, path_suffix });
        match self {
            Point::StoreSync => disk("sync", ".store"),
            Point::StateSync => disk("sync", ".state.tmp"),
            Point::VoteSync => disk("sync", "vote.tmp"),
            Point::DirectorySync => disk("sync directory", "groups/0"),
            Point::VoteRename => disk("rename", "vote.tmp"),
            Point::StateRename => disk("rename", ".state.tmp"),
            Point::StoreRename => disk("rename", ".store.tmp"),
            Point::StartRename => disk("rename", "start.tmp"),
            Point::StoreCut => disk("set length of", ".store"),
            Point::StoreRemoval => disk("remove", ".store"),
            Point::ProduceAck => Where::Answer(&["Produce", "ProduceStream"]),
            Point::AppendAck => Where::Answer(&["Append"]),
            Point::VoteAck => Where::Answer(&["Vote"]),
            Point::ForwardAck => Where::Answer(&["Forward"]),
        }
    }
}
