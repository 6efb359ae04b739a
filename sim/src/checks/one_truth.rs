//! One record per offset, no gaps, nothing that nobody wrote, nothing twice; every read that was ever
//! answered agrees with what is there in the end; and every node has the same on its own disk, down to terms
//! and times.

use crate::history::{Copied, History, Outcome, Replica, Violation, show};
use std::collections::BTreeMap;

pub fn check(history: &History) -> Result<(), Violation> {
    if !history.complete {
        return Ok(());
    }
    let (first_offset, next_offset) = history.last_range;
    let by_value = history.by_value();
    let mut truth: BTreeMap<u64, &[u8]> = BTreeMap::new();
    let mut place_of: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (seen, expected) in history.last.iter().zip(first_offset..) {
        if seen.offset != expected {
            return violation(format!("after heal offset {expected} is missing: {} follows", seen.offset), None);
        }
        if let Some(other) = place_of.insert(&seen.value, seen.offset) {
            return violation(format!("{} stands at {other} and again at {}", show(&seen.value), seen.offset), None);
        }
        truth.insert(seen.offset, &seen.value);
    }
    if history.last.len() as u64 != next_offset - first_offset {
        let what = format!("{} records read of {first_offset}..{next_offset}", history.last.len());
        return violation(what, None);
    }
    if let Some(pair) = history.last.windows(2).find(|pair| pair[0].append_time_ms > pair[1].append_time_ms) {
        let what = format!("append time goes back at offset {}", pair[1].offset);
        return violation(what, None);
    }
    for seen in history.seen.iter().chain(&history.reads).chain(&history.last) {
        let Some((call, nth)) = by_value.get(seen.value.as_slice()) else {
            return violation(
                format!("offset {} holds {}, which nobody produced", seen.offset, show(&seen.value)),
                Some(seen.at_ns),
            );
        };
        // What was read twice, and trimmed once.
        if let Some(other) = place_of.insert(&seen.value, seen.offset).filter(|other| *other != seen.offset) {
            let what = format!("{} stood at {other} and stands again at {}", show(&seen.value), seen.offset);
            return violation(what, Some(seen.at_ns));
        }
        let produce = &history.produces[*call];
        if produce.outcome == Outcome::Refused {
            let what = format!("offset {} holds {}, whose produce was refused", seen.offset, show(&seen.value));
            return violation(what, Some(seen.at_ns));
        }
        match truth.get(&seen.offset) {
            Some(value) if *value == seen.value.as_slice() => {}
            None if seen.offset < first_offset => {}
            other => {
                let what = format!(
                    "client {} read {} at offset {}, where in the end there is {}",
                    seen.client,
                    show(&seen.value),
                    seen.offset,
                    other.map_or("nothing".to_owned(), |value| show(value))
                );
                return violation(what, Some(seen.at_ns));
            }
        }
        // A produce call is atomic: its records stand side by side.
        let start = seen.offset.checked_sub(*nth as u64);
        let torn = start.is_none_or(|start| {
            (start..).zip(&produce.values).any(|(offset, value)| {
                offset >= first_offset && truth.get(&offset).is_some_and(|found| found != value)
                    || offset >= next_offset
            })
        });
        if torn {
            return violation(format!("the batch around offset {} is not whole", seen.offset), Some(seen.at_ns));
        }
    }
    replicas(history)
}

/// Every replica against what was read in the end, and against the one before it.
fn replicas(history: &History) -> Result<(), Violation> {
    let (first_offset, next_offset) = history.last_range;
    let mut known: BTreeMap<u64, (u32, &Copied)> = BTreeMap::new();
    for Replica { node, first_offset: first, records } in &history.replicas {
        for (copied, offset) in records.iter().zip(*first..) {
            let Copied { term, append_time_ms, value, .. } = copied;
            if copied.offset != offset {
                return violation(format!("node {node} has offset {} where {offset} follows", copied.offset), None);
            }
            if let Some((other, held)) = known.insert(offset, (*node, copied))
                && held != copied
            {
                let what = format!(
                    "offset {offset} is {} of term {term} and time {append_time_ms} on node {node}, and {} of term {} \
                     and time {} on node {other}",
                    show(value),
                    show(&held.value),
                    held.term,
                    held.append_time_ms
                );
                return violation(what, None);
            }
            let read = offset.checked_sub(first_offset).and_then(|nth| history.last.get(nth as usize));
            if let Some(read) = read
                && read.value != *value
            {
                let what =
                    format!("offset {offset} of node {node} is {}, it was read as {}", show(value), show(&read.value));
                return violation(what, None);
            }
        }
        let next = first + records.len() as u64;
        if next != next_offset {
            return violation(format!("node {node} has the log up to offset {next}, it ends at {next_offset}"), None);
        }
    }
    Ok(())
}

fn violation(what: String, at_ns: Option<u64>) -> Result<(), Violation> {
    Err(Violation { check: "one truth", what, at_ns })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::{history, seen};
    use crate::history::{Copied, Outcome, Replica};

    #[test]
    fn unknown_outcomes_may_or_may_not_have_happened() {
        assert_eq!(check(&history(&[(0, &["a"])], &["b"], &["a", "b"])), Ok(()));
        assert_eq!(check(&history(&[(0, &["a"])], &["b"], &["a"])), Ok(()));
    }

    #[test]
    fn canary_a_record_nobody_produced() {
        assert!(check(&history(&[], &[], &["ghost"])).is_err());
    }

    #[test]
    fn canary_a_record_twice() {
        assert!(check(&history(&[(0, &["a"])], &[], &["a", "a"])).is_err());
    }

    #[test]
    fn canary_a_record_twice_of_which_one_was_trimmed() {
        let mut history = history(&[(0, &["a"]), (1, &["b"])], &[], &["a", "b"]);
        history.last_range = (1, 2);
        history.last.remove(0);
        history.seen.push(seen(0, "a"));
        assert!(check(&history).is_ok());
        history.seen.push(seen(0, "b"));
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_a_gap() {
        let mut history = history(&[(0, &["a"])], &["b"], &["a", "b"]);
        history.last[1].offset = 2;
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_a_read_that_the_end_denies() {
        let mut history = history(&[(0, &["a"])], &["b"], &["a"]);
        history.seen.push(seen(1, "b"));
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_a_refused_produce_that_happened() {
        let mut history = history(&[(0, &["a"])], &["b"], &["a", "b"]);
        history.produces[1].outcome = Outcome::Refused;
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_half_a_batch() {
        assert!(check(&history(&[(0, &["a", "b"])], &["c"], &["a", "c"])).is_err());
        assert!(check(&history(&[(0, &["a", "b"])], &[], &["a"])).is_err());
    }

    /// What two nodes have in the end, after a log of "a", "b".
    fn copies(one: &[&str], other: &[&str], edit: impl Fn(&mut Copied)) -> bool {
        let mut history = history(&[(0, &["a", "b"])], &[], &["a", "b"]);
        let copied = |(offset, value): (u64, &&str)| {
            let value = value.as_bytes().to_vec();
            Copied { offset, term: 1, append_time_ms: 0, value }
        };
        for (node, values) in [(1, one), (2, other)] {
            let records = (0..).zip(values).map(copied).collect();
            history.replicas.push(Replica { node, first_offset: 0, records });
        }
        history.replicas[1].records.last_mut().into_iter().for_each(edit);
        check(&history).is_ok()
    }

    #[test]
    fn canaries_a_replica_with_less_more_or_something_else() {
        assert!(copies(&["a", "b"], &["a", "b"], |_| {}));
        assert!(!copies(&["a", "b"], &["a"], |_| {}));
        assert!(!copies(&["a", "b"], &["a", "b", "c"], |_| {}));
        assert!(!copies(&["a", "b"], &["a", "c"], |_| {}));
        assert!(!copies(&["a", "b"], &["a", "b"], |last| last.term = 2));
        assert!(!copies(&["a", "b"], &["a", "b"], |last| last.append_time_ms = 2));
    }

    #[test]
    fn canary_time_goes_back() {
        let mut history = history(&[(0, &["a", "b"])], &[], &["a", "b"]);
        history.last[0].append_time_ms = 5;
        assert!(check(&history).is_err());
    }
}
