//! The trace hash: one number over everything that happened, in order. Two runs with the same hash did
//! the same; madsim's own check compares only random draws and times.

use crate::event::{Subject, meaning};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// FNV-1a, 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(u128);

impl Default for Hash {
    fn default() -> Hash {
        Hash(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hash {
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The last events of each, for a report; all of them, if they are kept; and the hash over all of them.
#[derive(Debug)]
pub struct Trace {
    hash: Hash,
    count: u64,
    /// With their numbers, so that they can be put into one order again.
    last: BTreeMap<Subject, VecDeque<(u64, String)>>,
    keep: usize,
    echo: bool,
    all: Option<Vec<(u64, String)>>,
    unknown: Option<String>,
    /// Before each event, for people.
    name: &'static str,
}

impl Trace {
    /// Keeps the last `keep` events of each node and client; `echo` prints each to stderr.
    pub fn new(keep: usize, echo: bool) -> Trace {
        Trace { hash: Hash::default(), count: 0, last: BTreeMap::new(), keep, echo, all: None, unknown: None, name: "" }
    }

    /// Keeps every event from now on.
    pub fn keep_all(&mut self) {
        self.all.get_or_insert_default();
    }

    /// One of several: each of its events bears this name.
    pub fn named(self, name: &'static str) -> Trace {
        Trace { name, ..self }
    }

    pub fn event(&mut self, at_ns: u64, line: String) {
        self.hash.add(&at_ns.to_le_bytes());
        self.hash.add(line.as_bytes());
        self.count += 1;
        crate::watchdog::something_happened();
        let meaning = meaning(&line);
        if meaning.is_none() {
            self.unknown.get_or_insert_with(|| line.clone());
        }
        let subject = meaning.map_or(Subject::World, |(subject, _)| subject);
        let told = format!("{:>12.6}s  {}{line}", at_ns as f64 / 1e9, self.name);
        if self.echo {
            eprintln!("{told}");
        }
        if let Some(all) = &mut self.all {
            all.push((at_ns, line));
        }
        let last = self.last.entry(subject).or_default();
        if last.len() == self.keep {
            last.pop_front();
        }
        last.push_back((self.count, told));
    }

    pub fn hash(&self) -> Hash {
        self.hash
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first line whose words [`meaning`] does not know.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Each event with its time in simulated nanoseconds, if they were kept.
    pub fn all(&self) -> &[(u64, String)] {
        self.all.as_deref().unwrap_or_default()
    }

    /// The last events of some, in the order in which they happened.
    pub fn last_of(&self, concerned: impl Fn(Subject) -> bool) -> Vec<String> {
        let of_them = self.last.iter().filter(|(subject, _)| concerned(**subject));
        let mut events: Vec<&(u64, String)> = of_them.flat_map(|(_, events)| events).collect();
        events.sort();
        events.into_iter().map(|(_, told)| told.clone()).collect()
    }
}

/// Whom a violation names: nodes by their numbers or by the ids that `node_of` knows, and clients. Where no node is
/// named, all nodes are meant; the world always is.
pub fn concerned(what: &str, node_of: impl Fn(u64) -> Option<u32>) -> impl Fn(Subject) -> bool {
    let words: Vec<&str> = what.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let id = |word: &str| u64::from_str_radix(word, 16).ok().and_then(&node_of);
    let named = |pair: &[&str]| match (pair[0], pair[1].parse().ok()) {
        ("client" | "consumer" | "producer", Some(number)) => Some(Subject::Client(number)),
        ("node", Some(number)) => Some(Subject::Node(number)),
        _ => None,
    };
    let mut subjects: BTreeSet<Subject> = words.windows(2).filter_map(named).collect();
    subjects.extend(words.iter().filter_map(|word| id(word)).map(Subject::Node));
    let all_nodes = !subjects.iter().any(|subject| matches!(subject, Subject::Node(_)));
    move |subject| match subject {
        Subject::World => true,
        Subject::Node(_) if all_nodes => true,
        subject => subjects.contains(&subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_of_some_stand_in_the_order_in_which_they_happened() {
        let mut trace = Trace::new(2, false);
        for (at_ns, line) in ["node 1 restarts", "node 2 restarts", "node 1 started", "heal"].into_iter().enumerate() {
            trace.event(at_ns as u64, line.to_owned());
        }
        (0..9).for_each(|at_ns| trace.event(at_ns, "node 3 started".to_owned()));
        let last = trace.last_of(concerned("node 1 has it, and consumer 100 does not", |_| None));
        let lines: Vec<&str> = last.iter().map(|told| &told[15..]).collect();
        assert_eq!(lines, ["node 1 restarts", "node 1 started", "heal"]);
        assert_eq!(trace.last_of(|subject| subject == Subject::Node(3)).len(), 2);
        assert_eq!(trace.unknown(), None);
        trace.event(9, "moonrise".to_owned());
        assert_eq!(trace.unknown(), Some("moonrise"));
    }

    #[test]
    fn who_is_named_is_concerned_and_where_nobody_is_all_nodes_are() {
        let node_of = |id| (id == 0xabc).then_some(2);
        let names = |what| {
            let concerned = concerned(what, node_of);
            [Subject::Node(1), Subject::Node(2), Subject::Client(7)].map(concerned)
        };
        assert_eq!(names("node abc has forgotten its vote"), [false, true, false]);
        assert_eq!(names("client 7 read x"), [true, true, true]);
        assert_eq!(names("a start of node 1 was refused: no"), [true, false, false]);
        assert_eq!(names("offset 3 is gone"), [true, true, false]);
    }
}
