//! What can be done to a cluster, and to which node of it.

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
    /// The node is asked, as by an operator, to see to it that `to` leads.
    LeaderTransfer {
        to: u32,
    },
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
    pub const OF_A_NODE: [&'static str; 15] = [
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
    ];

    /// What takes several nodes.
    pub const OF_A_CLUSTER: [&'static str; 14] = [
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
        }
    }

    /// Whether it hits one node: [`Planned::node`].
    pub fn has_target(&self) -> bool {
        !matches!(
            self,
            Fault::ProcessCrashAll { .. }
                | Fault::PowerLossAll { .. }
                | Fault::Partition { .. }
                | Fault::Overtaken { .. }
                | Fault::Outvoted { .. }
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
