//! What the clients saw: the only thing the checks believe.

use std::collections::BTreeMap;

/// One produce call, however often it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Produce {
    pub client: u32,
    /// Values of the records, each unique in the run.
    pub values: Vec<Vec<u8>>,
    /// Of the first attempt.
    pub called_ns: u64,
    pub outcome: Outcome,
    /// Of the first record, if the producer is one that sends again until it is answered.
    pub sequence: Option<u64>,
    /// Which of the client's producers, if it is one that ends at the first failure.
    pub in_order: Option<u64>,
    /// Which of the producers that the client has had, one after the other, each under a name of its own.
    pub life: u64,
    pub fencing_token: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// No answer yet, or none that tells: the records may be there or not.
    #[default]
    Unknown,
    Acked {
        first_offset: u64,
        at_ns: u64,
    },
    /// The answer says that nothing was appended.
    Refused,
}

/// A record as a client read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub client: u32,
    pub offset: u64,
    pub value: Vec<u8>,
    pub append_time_ms: i64,
    pub at_ns: u64,
}

/// What a call other than a produce was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub client: u32,
    pub called_ns: u64,
    pub returned_ns: u64,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// There is nothing at the end: this is the range.
    Range { first: u64, next: u64 },
    /// A compare-and-append was refused: this is the end.
    Next { next: u64 },
    /// There is a record here.
    Hit { offset: u64 },
    /// The log starts here now.
    Trimmed { first: u64 },
    /// This token is newer than the one that was given.
    FencedBy { token: u64 },
    /// The first record appended at this time or later, or that there is none before this end.
    Since { time_ms: i64, found: Option<u64>, next: u64 },
}

/// An administrator's fence, answered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceCall {
    pub token: u64,
    pub required: bool,
    pub called_ns: u64,
    /// Set if it was confirmed.
    pub returned_ns: Option<u64>,
}

/// A node that serves again after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    pub node: u32,
    pub at_ns: u64,
    pub first_offset: u64,
    pub next_offset: u64,
    /// What it must have: all that had been acked. In a cluster, what had been before its leader was elected,
    /// since the rest may still be on its way here.
    pub acked_next_offset: u64,
    /// And what had been tried at all.
    pub tried_records: u64,
    /// What it must have trimmed.
    pub trims_done: u64,
}

/// One node's own log in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub node: u32,
    pub first_offset: u64,
    /// Offset, term and append time of each record, and its value.
    pub records: Vec<Copied>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub offset: u64,
    pub term: u64,
    pub append_time_ms: i64,
    pub value: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub struct History {
    pub produces: Vec<Produce>,
    /// Reads under trouble, in the order of each client.
    pub seen: Vec<Seen>,
    /// Reads here and there, in no order.
    pub reads: Vec<Seen>,
    pub calls: Vec<Call>,
    pub fences: Vec<FenceCall>,
    /// Retention was asked for: whatever is old or much may be trimmed by the node itself.
    pub retention_called: bool,
    /// A client's stream began anew at this many of its reads, from that offset.
    pub restarts: Vec<Restarted>,
    /// Trims without an answer, by number: asked to trim before this offset, they may or may not have.
    pub trims_open: BTreeMap<u64, u64>,
    /// The highest trim point that an answer confirmed.
    pub trims_done: u64,
    /// Whether the log could be read to its end after heal; if not, that is what failed, and nothing
    /// can be said of `last`.
    pub complete: bool,
    /// After heal: everything, read once from the first offset on.
    pub last: Vec<Seen>,
    pub last_range: (u64, u64),
    /// The same as each node has it, read from its own disk.
    pub replicas: Vec<Replica>,
    /// What refused to happen although it must: a start, convergence after heal.
    pub complaints: Vec<Complaint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub check: &'static str,
    pub what: String,
    pub at_ns: u64,
}

impl History {
    /// Offset after the last acked record.
    pub fn acked_next_offset(&self) -> u64 {
        self.acked().map(|(offset, produce)| offset + produce.values.len() as u64).max().unwrap_or(0)
    }

    pub fn acked(&self) -> impl Iterator<Item = (u64, &Produce)> {
        self.produces.iter().filter_map(|produce| match produce.outcome {
            Outcome::Acked { first_offset, .. } => Some((first_offset, produce)),
            Outcome::Unknown | Outcome::Refused => None,
        })
    }

    /// Nothing at or after this offset may be trimmed.
    pub fn trimmed_to(&self) -> u64 {
        if self.retention_called {
            return u64::MAX;
        }
        self.trims_open.values().copied().max().unwrap_or(0).max(self.trims_done)
    }

    pub fn tried_records(&self) -> u64 {
        self.produces.iter().map(|produce| produce.values.len() as u64).sum()
    }

    /// Which produce call a value belongs to, and which record of it.
    pub fn by_value(&self) -> BTreeMap<&[u8], (usize, usize)> {
        let each = self.produces.iter().enumerate();
        each.flat_map(|(call, produce)| {
            produce.values.iter().enumerate().map(move |(nth, value)| (value.as_slice(), (call, nth)))
        })
        .collect()
    }
}

/// What a check found: the run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub check: &'static str,
    pub what: String,
    /// Simulated nanoseconds since the start, where one moment can be named.
    pub at_ns: Option<u64>,
}

/// How much of a value a message shows.
pub fn show(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned();
    if value.len() > 24 { format!("{text:?}.. ({} bytes)", value.len()) } else { format!("{text:?}") }
}
