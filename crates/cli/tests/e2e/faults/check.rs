//! What must hold when all is over, of what the producers were told, what those who followed saw, and what each node
//! has. Pure: it can be shown what it must find.

use std::collections::BTreeMap;
use std::fmt;

/// What a record holds, so that it is known wherever it turns up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    pub producer: usize,
    pub sequence: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.sequence)
    }
}

impl Value {
    pub fn parse(bytes: &[u8]) -> Option<Value> {
        // What follows a space only makes a record larger.
        let text = str::from_utf8(bytes).ok()?.split(' ').next()?;
        let (producer, sequence) = text.split_once('/')?;
        Some(Value { producer: producer.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

/// A record as it was read; none if nobody here can have written it.
pub type Read = (u64, Option<Value>);

#[derive(Debug, Default)]
pub struct History {
    /// Where each acknowledged record is, as its producer was told.
    pub acked: Vec<(u64, Value)>,
    /// How many records each producer sent: those with the sequences before.
    pub sent: BTreeMap<usize, u64>,
    /// Who followed the log, and what they saw, in that order.
    pub followed: Vec<(String, Vec<Read>)>,
    /// Each node, and its log from the first record to the end.
    pub logs: Vec<(String, Vec<Read>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    Lost {
        node: String,
        offset: u64,
        acked: Value,
        found: Option<Value>,
    },
    Doubled {
        node: String,
        offset: u64,
        value: Value,
    },
    /// A producer's record is there, and the one before it is not.
    LeftOut {
        node: String,
        offset: u64,
        value: Value,
        expected: u64,
    },
    NobodysRecord {
        node: String,
        offset: u64,
    },
    /// Between the records of one reader: followers and nodes alike.
    Gap {
        reader: String,
        expected: u64,
        offset: u64,
    },
    StepBack {
        reader: String,
        expected: u64,
        offset: u64,
    },
    /// Two readers have different records at one offset, or one of them has none.
    Differ {
        readers: [String; 2],
        offset: u64,
    },
}

/// All that is wrong.
pub fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for (reader, records) in history.followed.iter().chain(&history.logs) {
        contiguous(reader, records, &mut found);
    }
    for (node, log) in &history.logs {
        acked_are_there(node, log, &history.acked, &mut found);
        each_once(node, log, &history.sent, &mut found);
    }
    // What follows from a difference is told once: all are held against the first node.
    if let Some((first, truth)) = history.logs.first() {
        for (reader, records) in history.logs.iter().skip(1).chain(&history.followed) {
            if let Some(offset) = first_difference(truth, records) {
                found.push(Violation::Differ { readers: [first.clone(), reader.clone()], offset });
            }
        }
    }
    found
}

fn contiguous(reader: &str, records: &[Read], found: &mut Vec<Violation>) {
    let mut expected = 0;
    for (offset, _) in records.iter().copied() {
        let reader = reader.to_owned();
        match offset.cmp(&expected) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => found.push(Violation::Gap { reader, expected, offset }),
            std::cmp::Ordering::Less => found.push(Violation::StepBack { reader, expected, offset }),
        }
        expected = offset + 1;
    }
}

fn acked_are_there(node: &str, log: &[Read], acked: &[(u64, Value)], found: &mut Vec<Violation>) {
    let log: BTreeMap<u64, Option<Value>> = log.iter().copied().collect();
    for (offset, acked) in acked.iter().copied() {
        let there = log.get(&offset).copied().flatten();
        if there != Some(acked) {
            found.push(Violation::Lost { node: node.to_owned(), offset, acked, found: there });
        }
    }
}

/// A producer sends its records in order, and each again until it is acknowledged: so they are there in order, too, and
/// none is missing before another.
fn each_once(node: &str, log: &[Read], sent: &BTreeMap<usize, u64>, found: &mut Vec<Violation>) {
    let mut next: BTreeMap<usize, u64> = BTreeMap::new();
    for (offset, value) in log.iter().copied() {
        let node = node.to_owned();
        let Some(value) = value.filter(|value| value.sequence < sent.get(&value.producer).copied().unwrap_or(0)) else {
            found.push(Violation::NobodysRecord { node, offset });
            continue;
        };
        let next = next.entry(value.producer).or_default();
        if value.sequence < *next {
            found.push(Violation::Doubled { node, offset, value });
            continue;
        }
        if value.sequence > *next {
            found.push(Violation::LeftOut { node, offset, value, expected: *next });
        }
        *next = value.sequence + 1;
    }
}

/// The offset of the first record that one has and the other has not, or has otherwise.
fn first_difference(one: &[Read], other: &[Read]) -> Option<u64> {
    let pairs = (0..one.len().max(other.len())).map(|at| (one.get(at), other.get(at)));
    pairs.into_iter().find(|(one, other)| one != other).and_then(|(one, other)| one.or(other)).map(|read| read.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(producer: usize, sequence: u64) -> Value {
        Value { producer, sequence }
    }

    fn log(values: &[(usize, u64)]) -> Vec<Read> {
        values
            .iter()
            .enumerate()
            .map(|(at, (producer, sequence))| (at as u64, Some(value(*producer, *sequence))))
            .collect()
    }

    /// Two producers, one of them with a record that was never acknowledged; two nodes, one who follows.
    fn sound() -> History {
        let records = log(&[(0, 0), (1, 0), (0, 1), (1, 1)]);
        History {
            acked: records.iter().take(3).map(|(offset, value)| (*offset, value.unwrap())).collect(),
            sent: BTreeMap::from([(0, 2), (1, 2)]),
            followed: vec![("reader".into(), records.clone())],
            logs: vec![("a".into(), records.clone()), ("b".into(), records)],
        }
    }

    fn wrong(change: impl FnOnce(&mut History)) -> Vec<Violation> {
        let mut history = sound();
        change(&mut history);
        violations(&history)
    }

    #[test]
    fn nothing_is_wrong_with_a_sound_history() {
        assert_eq!(wrong(|_| {}), []);
    }

    #[test]
    fn an_acknowledged_record_that_one_node_lacks_is_lost() {
        let found = wrong(|history| {
            history.acked.push((3, value(1, 1)));
            history.logs[1].1.pop();
        });
        let lost = Violation::Lost { node: "b".into(), offset: 3, acked: value(1, 1), found: None };
        assert!(found.contains(&lost), "{found:?}");
        assert!(found.contains(&Violation::Differ { readers: ["a".into(), "b".into()], offset: 3 }), "{found:?}");
    }

    #[test]
    fn an_acknowledged_record_in_whose_place_another_is_is_lost_although_all_agree() {
        let found = wrong(|history| history.acked[0] = (0, value(1, 0)));
        let lost =
            |node: &str| Violation::Lost { node: node.into(), offset: 0, acked: value(1, 0), found: Some(value(0, 0)) };
        assert_eq!(found, [lost("a"), lost("b")]);
    }

    #[test]
    fn a_record_that_is_there_twice_is_doubled_although_all_agree() {
        let found = wrong(|history| {
            for (_, log) in history.logs.iter_mut().chain(&mut history.followed) {
                log.push((4, Some(value(0, 1))));
            }
        });
        let doubled = |node: &str| Violation::Doubled { node: node.into(), offset: 4, value: value(0, 1) };
        assert_eq!(found, [doubled("a"), doubled("b")]);
    }

    #[test]
    fn a_record_that_was_left_out_and_one_that_nobody_wrote_are_told() {
        let found = wrong(|history| {
            history.sent.insert(0, 4);
            history.logs.truncate(1);
            history.followed.clear();
            history.logs[0].1.extend([(4, Some(value(0, 3))), (5, None), (6, Some(value(2, 0)))]);
        });
        let left_out = Violation::LeftOut { node: "a".into(), offset: 4, value: value(0, 3), expected: 2 };
        let nobodys = |offset| Violation::NobodysRecord { node: "a".into(), offset };
        assert_eq!(found, [left_out, nobodys(5), nobodys(6)]);
    }

    #[test]
    fn who_follows_misses_nothing_and_never_goes_back() {
        let reader = || "reader".to_owned();
        let found = wrong(|history| _ = history.followed[0].1.remove(1));
        assert_eq!(found[0], Violation::Gap { reader: reader(), expected: 1, offset: 2 });
        let found = wrong(|history| {
            let again = history.followed[0].1[1];
            history.followed[0].1.insert(2, again);
        });
        assert_eq!(found[0], Violation::StepBack { reader: reader(), expected: 2, offset: 1 });
        // All of it up to the end, and the same.
        let differ = |offset| Violation::Differ { readers: ["a".into(), reader()], offset };
        assert_eq!(wrong(|history| _ = history.followed[0].1.pop()), [differ(3)]);
        assert_eq!(wrong(|history| history.followed[0].1[2].1 = Some(value(1, 1))), [differ(2)]);
    }

    #[test]
    fn a_value_is_known_wherever_it_turns_up() {
        assert_eq!(Value::parse(value(3, 17).to_string().as_bytes()), Some(value(3, 17)));
        assert_eq!(Value::parse(format!("{} xxxx", value(0, 1)).as_bytes()), Some(value(0, 1)));
        for other in ["", "3", "3/", "/1", "a/1", "3/1x"] {
            assert_eq!(Value::parse(other.as_bytes()), None, "{other}");
        }
    }
}
