//! A run as a picture: whom there was, what each did, what went between them, and for how long something held.
//!
//! ```text
//! world (events, messages, conditions) -> Recording -> Timeline -> html.rs    one page
//!                                                               -> chrome.rs  a trace for Perfetto
//! ```

mod chrome;
mod html;
mod recording;

pub use recording::{Condition, Recording};

use crate::event::{Kind, Subject, meaning};
use serde::Serialize;
use std::collections::BTreeSet;

/// All times are simulated nanoseconds since the start of the world.
#[derive(Debug, Default, Serialize)]
pub struct Timeline {
    pub title: String,
    pub nodes: u32,
    pub end_ns: u64,
    /// So long a message is under way at least. Of each message one end was seen; this is how far away the other is drawn.
    pub latency_ns_min: u64,
    pub violations: Vec<Violation>,
    pub lanes: Vec<Lane>,
    pub events: Vec<Event>,
    pub messages: Vec<Message>,
    pub bands: Vec<Band>,
}

#[derive(Debug, Serialize)]
pub struct Violation {
    pub check: String,
    pub what: String,
    /// The end of the run, where no moment can be named.
    pub at_ns: u64,
    pub is_moment_known: bool,
}

#[derive(Debug, Serialize)]
pub struct Lane {
    pub subject: Subject,
    pub name: String,
}

/// Something that happened to one, or to all.
#[derive(Debug, Serialize)]
pub struct Event {
    pub at_ns: u64,
    pub subject: Subject,
    pub kind: &'static str,
    pub text: String,
}

/// A request that arrived, or an answer that left, as its server saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    pub at_ns: u64,
    pub from: Subject,
    pub to: Subject,
    pub is_answer: bool,
    pub kind: &'static str,
    pub text: String,
}

/// Something that held for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Band {
    pub from_ns: u64,
    pub to_ns: u64,
    pub subject: Subject,
    pub kind: &'static str,
    pub text: String,
}

impl Timeline {
    /// Puts in what was recorded, what happened (with its time), and a lane for each that was part of it.
    pub fn fill(&mut self, recording: Recording, events: &[(u64, String)]) {
        (self.messages, self.bands) = recording.into_parts(self.end_ns);
        let event = |(at_ns, text): &(u64, String)| {
            let (subject, kind) = meaning(text).unwrap_or((Subject::World, Kind::Admin));
            Event { at_ns: *at_ns, subject, kind: kind.name(), text: text.clone() }
        };
        self.events = events.iter().map(event).collect();
        let nodes = (1..=self.nodes).map(Subject::Node);
        let seen = self.events.iter().map(|event| event.subject);
        let talking = self.messages.iter().flat_map(|message| [message.from, message.to]);
        let subjects: BTreeSet<Subject> = nodes.chain(seen).chain(talking).chain([Subject::World]).collect();
        self.lanes = subjects.into_iter().map(|subject| Lane { subject, name: name(subject) }).collect();
    }
}

fn name(subject: Subject) -> String {
    match subject {
        Subject::World => "all".to_owned(),
        Subject::Node(number) => format!("node {number}"),
        Subject::Client(number) => format!("client {number}"),
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// Three nodes, a client, a message each way, a crash, and a violation at 2 s.
    pub fn timeline() -> Timeline {
        let mut recording = Recording::default();
        let (node, client) = (Subject::Node(1), Subject::Client(7));
        recording.message(Message {
            at_ns: 1_000_000_000,
            from: client,
            to: node,
            is_answer: false,
            kind: "client",
            text: "Produce of 1 record </script>".to_owned(),
        });
        recording.message(Message {
            at_ns: 1_100_000_000,
            from: node,
            to: client,
            is_answer: true,
            kind: "client",
            text: "Produce: offset 3".to_owned(),
        });
        let down = Condition { subject: Subject::Node(2), kind: "down", text: String::new() };
        recording.hold("nodes", 1_200_000_000, [down].into());
        let mut timeline = Timeline {
            title: "seed 7".to_owned(),
            nodes: 3,
            end_ns: 3_000_000_000,
            latency_ns_min: 1_000_000,
            violations: vec![Violation {
                check: "raft".to_owned(),
                what: "two <leaders> of one term".to_owned(),
                at_ns: 2_000_000_000,
                is_moment_known: true,
            }],
            ..Timeline::default()
        };
        let events = [
            (1_100_000_000, "producer 7 call 0: Ok(Produced)".to_owned()),
            (1_200_000_000, "node 2 crashes, power loss: None".to_owned()),
            (2_000_000_000, "complaint for raft: two <leaders> of one term".to_owned()),
        ];
        timeline.fill(recording, &events);
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_was_part_of_it_has_a_lane_nodes_before_clients() {
        let timeline = sample::timeline();
        let names: Vec<&str> = timeline.lanes.iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names, ["all", "node 1", "node 2", "node 3", "client 7"]);
    }

    #[test]
    fn what_still_holds_in_the_end_is_a_band_up_to_there() {
        let timeline = sample::timeline();
        assert_eq!(timeline.bands.len(), 1);
        assert_eq!((timeline.bands[0].from_ns, timeline.bands[0].to_ns), (1_200_000_000, 3_000_000_000));
    }
}
