//! What can be done to a cluster, and to which node of it.

use super::point::Point;
use seedlog_runtime::disk::sim as disk;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// By number, from 1 on.
    Node(u32),
    /// Whoever leads then; the first node that is up, if none does.
    Leader,
}

impl Default for Target {
    fn default() -> Target {
        Target::Node(1)
    }
}

impl Target {
    pub(super) fn is_default(&self) -> bool {
        *self == Target::default()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Node(number) => write!(f, "{number}"),
            Target::Leader => write!(f, "leader"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Target, String> {
        match text.as_str() {
            "leader" => Ok(Target::Leader),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Target::Node(number)),
                _ => Err(format!("{text:?} is no node: a number from 1 on, or \"leader\"")),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub at_ms: u64,
    #[serde(default, skip_serializing_if = "Target::is_default")]
    pub node: Target,
    #[serde(flatten)]
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  ", self.at_ms as f64 / 1e3)?;
        if self.fault.has_target() {
            write!(f, "node {}: ", self.node)?;
        }
        write!(f, "{:?}", self.fault)
    }
}

/// What can be done. Every kind has a counter; a sweep in which an enabled kind never happened fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// kill -9: the page cache stays.
    ProcessCrash {
        down_ms: u64,
    },
    /// What was not synced survives, vanishes or tears, as `power_seed` says.
    PowerLoss {
        down_ms: u64,
        power_seed: u64,
    },
    /// The process or the power goes at a disk operation, not between two.
    CrashAtDiskOp {
        after_ops: u64,
        at: At,
        power_seed: Option<u64>,
        down_ms: u64,
    },
    /// The process goes, and soon after its restart the power: what recovery believed must be durable.
    CrashThenPowerLoss {
        down_ms: u64,
        then_ms: u64,
        power_seed: u64,
    },
    /// One sync of a matching file fails; later ones say yes, and the pages are gone.
    SyncError {
        path: String,
        skip: u64,
    },
    WriteError {
        path: String,
        skip: u64,
    },
    ReadError {
        path: String,
        skip: u64,
    },
    ShortWrites {
        times: u64,
    },
    /// With `power_seed`, the power goes at the end of it: in the middle of what takes so long.
    SlowDisk {
        for_ms: u64,
        step_ms_max: u64,
        #[serde(default)]
        power_seed: Option<u64>,
    },
    ClockJump {
        by_ms: i64,
    },
    ClockRate {
        per_mille: u32,
        for_ms: u64,
    },
    /// It is asked to stop, as an orchestrator would; it must, and come back.
    GracefulRestart {
        down_ms: u64,
    },
    /// A trim of all that is acked, and the machine goes down at a disk operation of it.
    CrashInTrim {
        after_ops: u64,
        power_seed: Option<u64>,
        down_ms: u64,
    },
    /// No client reaches the node.
    CutClients {
        for_ms: u64,
    },
    /// Somebody else fills the disk, up to so much; later there is room again. The node must refuse
    /// records before a write of its own fails.
    DiskFull {
        for_ms: u64,
        free_bytes: u64,
    },
    /// All processes at once; they come back one after the other.
    ProcessCrashAll {
        down_ms: u64,
        spread_ms: u64,
    },
    /// The power of the whole room.
    PowerLossAll {
        down_ms: u64,
        spread_ms: u64,
        power_seed: u64,
    },
    /// The nodes on one side and those on the other do not hear each other; the clients of this side, if
    /// `clients`, reach nobody on it.
    Partition {
        side: Vec<u32>,
        clients: bool,
        for_ms: u64,
    },
    /// A node is cut off from all others, and if `clients` from these, too.
    Isolate {
        way: Way,
        clients: bool,
        for_ms: u64,
    },
    /// Two nodes do not reach each other, or one not the other; the rest do.
    CutLink {
        other: u32,
        way: Way,
        for_ms: u64,
    },
    /// The link of two nodes comes and goes.
    FlakyLink {
        other: u32,
        for_ms: u64,
    },
    /// Messages are lost or late, everywhere.
    NetworkStorm {
        loss_per_mille: u32,
        latency_ms_max: u64,
        for_ms: u64,
    },
    /// SIGSTOP, and later SIGCONT: it knows nothing of it but the clock.
    Pause {
        for_ms: u64,
    },
    /// The machine's disk is gone. It comes back with an empty one, as somebody else under the same name. Only
    /// while all machines vote and no other disk has just gone: one copy too many is nobody's fault.
    Wipe {
        down_ms: u64,
    },
    /// The node leaves its cluster, for good, and comes back with an empty disk once it is certain that it is out.
    Leave {
        down_ms: u64,
    },
    /// It is down for a while, and comes back elsewhere.
    NewAddress {
        down_ms: u64,
    },
    /// The leader is heard for a while and hears nobody, so that what it is asked then may be committed without it;
    /// then it is not heard either. Another one leads, and trims all that it has, again and again. It is over when what
    /// the first one waits for is no longer in anybody's log, or after `for_ms`.
    Overtaken {
        heard_ms: u64,
        for_ms: u64,
    },
    /// The leader is cut off, goes on with its own clients, and is outvoted. Then it is no longer cut off, must take its
    /// last words back, and its power goes: so many disk operations after it made a file shorter, if it does so within
    /// `for_ms` of the beginning.
    Outvoted {
        for_ms: u64,
        after_ops: u64,
        at: At,
        power_seed: u64,
        down_ms: u64,
    },
    /// While the node is down, or `live`, its disk loses some of what is committed there: in up to `stores` closed segments, which
    /// `seed` chooses. Only while all machines vote and nothing else was lost that is not back yet.
    Damage {
        what: Damage,
        stores: u32,
        seed: u64,
        down_ms: u64,
        #[serde(default)]
        live: bool,
    },
    /// The leader is cut off, goes on with its own clients, and is outvoted. A follower of the next one goes down, loses
    /// the segment in which it has what was committed where the first one has its last words, and hears nobody but that
    /// one when it comes back, for `alone_ms`. All of it only within `for_ms`, and only while all machines vote and nothing
    /// else was lost that is not back yet.
    Misled {
        for_ms: u64,
        alone_ms: u64,
        down_ms: u64,
    },
    /// Some voters hear nothing for `hidden_ms`. Then a follower that did goes down, its disk loses the end of its log, and
    /// the leader is cut off from all until the follower has been back for `away_ms`; or for `again_ms`, and its power goes.
    /// Only while all machines vote and nothing else was lost that is not back yet.
    LostEnd {
        hidden_ms: u64,
        away_ms: u64,
        down_ms: u64,
        #[serde(default)]
        again_ms: Option<u64>,
        seed: u64,
    },
    /// A follower's disk loses all that it is given within `for_ms`, without a trace: then the node goes down, and comes back with
    /// a log that ends early. Or the segment that it writes to has damage then. Only if the leader has its word for what is lost,
    /// enough others have all of it, and all machines vote and nothing else was lost that is not back yet.
    LostWrites {
        for_ms: u64,
        down_ms: u64,
        seed: u64,
        #[serde(default)]
        what: Option<Damage>,
    },
    /// The node is asked, as by an operator, to see to it that `to` leads.
    LeaderTransfer {
        to: u32,
    },
    /// The process or the power goes at a point with a name, once `skip` of its kind have passed, if it comes to that
    /// within `within_ms`. An answer has no inside: there it is before.
    CrashAtPoint {
        point: Point,
        skip: u64,
        at: At,
        power_seed: Option<u64>,
        within_ms: u64,
        down_ms: u64,
    },
    /// It dies so often that it may never come to an end of its start.
    RestartLoop {
        times: u64,
        up_ms: u64,
        down_ms: u64,
        power_seed: Option<u64>,
    },
    /// The power of these, and not of the others.
    PowerLossSome {
        side: Vec<u32>,
        down_ms: u64,
        spread_ms: u64,
        power_seed: u64,
    },
    /// All that a disk is asked to do to matching files fails for a while, whoever asks: a cable, not a sector.
    DiskErrors {
        what: DiskError,
        path: String,
        for_ms: u64,
    },
    /// As [`Fault::DiskFull`], but the room comes and goes.
    FlakySpace {
        for_ms: u64,
        free_bytes: u64,
    },
    /// Each message of the calls between two nodes takes so much longer, one after the other.
    SlowLink {
        other: u32,
        way: Way,
        delay_ms: u64,
        for_ms: u64,
    },
    /// The connections that the node has with `other`, or with everybody, break in the middle of what they carry, and
    /// may be made again at once.
    BreakConnections {
        other: Option<u32>,
        times: u64,
        every_ms: u64,
    },
    /// A wall clock that was never set, or set to the wrong year, and stays so.
    LongSkew {
        by_ms: i64,
    },
    /// It is down for a while, and comes back with other sizes of its files.
    Reconfigure {
        segment_bytes_max: u64,
        index_rows_max: u32,
        prewrite_bytes: u64,
        down_ms: u64,
    },
    /// As [`Fault::Wipe`], but an operator asks for the change of the membership, as soon as the new node is there and
    /// for so long.
    Replace {
        down_ms: u64,
        for_ms: u64,
    },
    /// A node of the last release is stopped, asked to or killed, and comes back as what the code is today; or `back`, as
    /// an operator who does not like what he sees has it.
    Upgrade {
        down_ms: u64,
        graceful: bool,
        #[serde(default)]
        back: bool,
    },
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskError {
    Sync,
    Write,
    Read,
}

impl From<DiskError> for disk::FaultKind {
    fn from(error: DiskError) -> disk::FaultKind {
        match error {
            DiskError::Sync => disk::FaultKind::SyncError,
            DiskError::Write => disk::FaultKind::WriteError,
            DiskError::Read => disk::FaultKind::ReadError,
        }
    }
}

/// How a disk loses what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A bit flips.
    Rot,
    /// A sector cannot be read any more.
    Unreadable,
    /// Sectors of the file lie where others should be.
    Misdirected,
    /// The file is shorter than it was.
    Cut,
    /// The segment's files are gone.
    Lost,
}

/// Seen from the node in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Both,
    /// It hears nothing.
    In,
    /// It is not heard.
    Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    Before,
    Inside,
    After,
}

impl From<At> for disk::CrashAt {
    fn from(at: At) -> disk::CrashAt {
        match at {
            At::Before => disk::CrashAt::Before,
            At::Inside => disk::CrashAt::Inside,
            At::After => disk::CrashAt::After,
        }
    }
}

impl Fault {
    /// What can befall a node, alone or among others.
    pub const OF_A_NODE: [&'static str; 25] = [
        "process_crash",
        "power_loss",
        "crash_at_disk_op",
        "crash_then_power_loss",
        "sync_error",
        "write_error",
        "read_error",
        "short_writes",
        "slow_disk",
        "clock_jump",
        "clock_rate",
        "graceful_restart",
        "crash_in_trim",
        "cut_clients",
        "disk_full",
        "crash_at_sync",
        "crash_at_rename",
        "crash_at_removal",
        "crash_at_ack",
        "restart_loop",
        "disk_errors",
        "flaky_space",
        "broken_connections",
        "long_skew",
        "reconfigure",
    ];

    /// What takes several nodes.
    pub const OF_A_CLUSTER: [&'static str; 26] = [
        "process_crash_all",
        "power_loss_all",
        "partition",
        "isolate",
        "cut_link",
        "flaky_link",
        "network_storm",
        "pause",
        "leader_transfer",
        "wipe",
        "leave",
        "new_address",
        "overtaken",
        "outvoted",
        "bit_rot",
        "latent_sector",
        "misdirected_write",
        "cut_store",
        "lost_segment",
        "power_loss_some",
        "slow_link",
        "replace",
        "misled",
        "lost_end",
        "lost_writes",
        "upgrade",
    ];

    /// All kinds that a plan for so many nodes may draw.
    pub fn kinds(nodes: u32) -> impl Iterator<Item = &'static str> {
        let of_a_cluster = if nodes > 1 { &Fault::OF_A_CLUSTER[..] } else { &[] };
        Fault::OF_A_NODE.iter().chain(of_a_cluster).copied()
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Fault::ProcessCrash { .. } => "process_crash",
            Fault::PowerLoss { .. } => "power_loss",
            Fault::CrashAtDiskOp { .. } => "crash_at_disk_op",
            Fault::CrashThenPowerLoss { .. } => "crash_then_power_loss",
            Fault::SyncError { .. } => "sync_error",
            Fault::WriteError { .. } => "write_error",
            Fault::ReadError { .. } => "read_error",
            Fault::ShortWrites { .. } => "short_writes",
            Fault::SlowDisk { .. } => "slow_disk",
            Fault::ClockJump { .. } => "clock_jump",
            Fault::ClockRate { .. } => "clock_rate",
            Fault::GracefulRestart { .. } => "graceful_restart",
            Fault::CrashInTrim { .. } => "crash_in_trim",
            Fault::CutClients { .. } => "cut_clients",
            Fault::DiskFull { .. } => "disk_full",
            Fault::ProcessCrashAll { .. } => "process_crash_all",
            Fault::PowerLossAll { .. } => "power_loss_all",
            Fault::Partition { .. } => "partition",
            Fault::Isolate { .. } => "isolate",
            Fault::CutLink { .. } => "cut_link",
            Fault::FlakyLink { .. } => "flaky_link",
            Fault::NetworkStorm { .. } => "network_storm",
            Fault::Pause { .. } => "pause",
            Fault::LeaderTransfer { .. } => "leader_transfer",
            Fault::Wipe { .. } => "wipe",
            Fault::Leave { .. } => "leave",
            Fault::NewAddress { .. } => "new_address",
            Fault::Overtaken { .. } => "overtaken",
            Fault::Outvoted { .. } => "outvoted",
            Fault::Misled { .. } => "misled",
            Fault::LostEnd { .. } => "lost_end",
            Fault::LostWrites { .. } => "lost_writes",
            Fault::Damage { what: Damage::Rot, .. } => "bit_rot",
            Fault::Damage { what: Damage::Unreadable, .. } => "latent_sector",
            Fault::Damage { what: Damage::Misdirected, .. } => "misdirected_write",
            Fault::Damage { what: Damage::Cut, .. } => "cut_store",
            Fault::Damage { what: Damage::Lost, .. } => "lost_segment",
            Fault::CrashAtPoint { point, .. } => point.kind(),
            Fault::RestartLoop { .. } => "restart_loop",
            Fault::PowerLossSome { .. } => "power_loss_some",
            Fault::DiskErrors { .. } => "disk_errors",
            Fault::FlakySpace { .. } => "flaky_space",
            Fault::SlowLink { .. } => "slow_link",
            Fault::BreakConnections { .. } => "broken_connections",
            Fault::LongSkew { .. } => "long_skew",
            Fault::Reconfigure { .. } => "reconfigure",
            Fault::Replace { .. } => "replace",
            Fault::Upgrade { .. } => "upgrade",
        }
    }

    /// Whether it hits one node: [`Planned::node`].
    pub fn has_target(&self) -> bool {
        !matches!(
            self,
            Fault::ProcessCrashAll { .. }
                | Fault::PowerLossAll { .. }
                | Fault::PowerLossSome { .. }
                | Fault::Partition { .. }
                | Fault::Overtaken { .. }
                | Fault::Outvoted { .. }
                | Fault::Misled { .. }
                | Fault::LostEnd { .. }
                | Fault::LostWrites { .. }
                | Fault::NetworkStorm { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_is_a_number_or_the_leader() {
        let read = |text: &str| Target::try_from(text.to_owned());
        assert_eq!(read("3"), Ok(Target::Node(3)));
        assert_eq!(read("leader"), Ok(Target::Leader));
        assert!(read("0").is_err() && read("follower").is_err());
    }
}
