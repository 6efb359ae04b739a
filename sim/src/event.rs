//! One line of a run's trace, and what its words say: it begins with whom it is about, and goes on with what happened.

use serde::Serialize;

/// Whom an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// All, or the run itself.
    World,
    Node(u32),
    Client(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What the plan does, and its end.
    Fault,
    /// A process ends.
    Crash,
    /// A process begins, or comes to serve.
    Start,
    /// An operation of a disk.
    Disk,
    /// A produce call.
    Call,
    /// It is acked.
    Ack,
    /// It is refused, or nobody knows.
    Failure,
    Read,
    /// Trims, retention, fences, and what else is asked.
    Admin,
    Complaint,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Fault,
        Kind::Crash,
        Kind::Start,
        Kind::Disk,
        Kind::Call,
        Kind::Ack,
        Kind::Failure,
        Kind::Read,
        Kind::Admin,
        Kind::Complaint,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Fault => "fault",
            Kind::Crash => "crash",
            Kind::Start => "start",
            Kind::Disk => "disk",
            Kind::Call => "call",
            Kind::Ack => "ack",
            Kind::Failure => "failure",
            Kind::Read => "read",
            Kind::Admin => "admin",
            Kind::Complaint => "complaint",
        }
    }
}

/// Whom a line is about, and what it says of them. `None`: these words are not known here.
pub fn meaning(line: &str) -> Option<(Subject, Kind)> {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let numbered = || {
        let (number, rest) = rest.split_once([' ', ':'])?;
        Some((number.parse::<u32>().ok()?, rest.trim_start()))
    };
    match first {
        "fault" => {
            let number = rest.strip_prefix("on node ").and_then(|rest| rest.split(':').next()?.parse().ok());
            Some((number.map_or(Subject::World, Subject::Node), Kind::Fault))
        }
        "node" => {
            let (number, rest) = numbered()?;
            Some((Subject::Node(number), of_node(rest)?))
        }
        // Alone, a node does not say who it is.
        "disk" => Some((Subject::Node(1), Kind::Disk)),
        "producer" | "consumer" | "client" => {
            let (number, rest) = numbered()?;
            Some((Subject::Client(number), of_client(rest)))
        }
        "heal" | "last" | "power" | "overtaken" | "a" => Some((Subject::World, Kind::Fault)),
        "the" | "mirror:" | "mirror's" => {
            let kind = if first == "the" { Kind::Fault } else { Kind::Read };
            Some((Subject::World, kind))
        }
        "trim" | "retention" => Some((Subject::World, Kind::Admin)),
        "who" | "everything" | "reader:" => Some((Subject::World, Kind::Read)),
        "complaint" => Some((Subject::World, Kind::Complaint)),
        _ => None,
    }
}

fn of_node(rest: &str) -> Option<Kind> {
    match rest.split([' ', ':', ',']).next()? {
        "disk" => Some(Kind::Disk),
        "crashes" | "stopped" => Some(Kind::Crash),
        "restarts" | "started" | "is" | "goes" | "did" => Some(Kind::Start),
        "has" => Some(Kind::Fault),
        _ => None,
    }
}

fn of_client(rest: &str) -> Kind {
    match rest.split_once(' ').unwrap_or((rest, "")) {
        ("calls", _) => Kind::Call,
        ("call", answered) if answered.contains(": Ok(") => Kind::Ack,
        ("call", _) => Kind::Failure,
        ("reads", _) => Kind::Read,
        ("is" | "sets", _) => Kind::Admin,
        // What it says itself, when something failed.
        _ => Kind::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_whom_it_is_about_and_says_what_happened() {
        for (line, subject, kind) in [
            ("fault on node 3: Pause { for_ms: 7 }", Subject::Node(3), Kind::Fault),
            ("fault NetworkStorm { for_ms: 7 }", Subject::World, Kind::Fault),
            ("node 2 crashes, power loss: None", Subject::Node(2), Kind::Crash),
            ("node 12 is ready, with offsets 0..7", Subject::Node(12), Kind::Start),
            ("node 1 disk write /data/x at 0 length 7 content 3: Ok(())", Subject::Node(1), Kind::Disk),
            ("disk sync /data/x at 0 length 0 content 0: Ok(())", Subject::Node(1), Kind::Disk),
            ("producer 1 calls with 3 records, 7 so far", Subject::Client(1), Kind::Call),
            ("producer 1 call 4: Ok(Produced { first_offset: 3 })", Subject::Client(1), Kind::Ack),
            ("producer 1 call 4: Err(Late)", Subject::Client(1), Kind::Failure),
            ("client 500 call 4: no leader", Subject::Client(500), Kind::Failure),
            ("consumer 100: no answer", Subject::Client(100), Kind::Failure),
            ("client 100 reads offset 3 of term 1", Subject::Client(100), Kind::Read),
            ("client 400 is told Hit { offset: 3 }", Subject::Client(400), Kind::Admin),
            ("heal", Subject::World, Kind::Fault),
            ("the mirror is killed", Subject::World, Kind::Fault),
            ("mirror: Began", Subject::World, Kind::Read),
            ("complaint for raft: two leaders", Subject::World, Kind::Complaint),
        ] {
            assert_eq!(meaning(line), Some((subject, kind)), "{line}");
        }
    }

    #[test]
    fn canary_words_that_nobody_knows() {
        for line in ["", "node", "node x crashes", "node 3 dances", "moon rises"] {
            assert_eq!(meaning(line), None, "{line}");
        }
    }

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
