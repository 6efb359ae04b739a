//! An order of all calls, each at one moment between its sending and its answer, in which every answer is
//! right: porcupine looks for it.
//!
//! After heal the log's order is known, and it never changes. So each append has its place, those without an
//! answer too: one that is in the log took effect at some time after it was sent, perhaps long after its
//! client had given up; one that is not, never did. The model need not guess, its state is the log's end, and
//! the search is short. Where a trim took what nobody had read, somebody's records fill the gap, one by one,
//! at any time.
//!
//! Since the appends stand in a known order, none can have happened before one ahead of it was sent, or after
//! one behind it was answered; none after somebody was given its offset, or was told of an end past it, or before
//! somebody asked who was told of an end that is not; and an end was true only between two of them. Before the
//! search each call is narrowed to the time that is left to it: otherwise calls that hang for seconds, unanswered
//! ones above all, overlap with everything, and the search tries all ways to place them.

use crate::history::{History, Outcome, Said, Violation};
use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// Far more than any history has taken; then it is said to be undecided, which is a failure, too.
const SEARCH_MAX: Duration = Duration::from_secs(60);

/// What a call did, or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Took these places.
    Append { at: u64, count: u64 },
    /// Was told that this is the end.
    End { next: u64 },
    /// Was given the record here.
    Hit { offset: u64 },
}

/// The log's end, and nothing else.
#[derive(Debug, Clone)]
pub struct Log;

impl Model for Log {
    type State = u64;
    type Op = Op;
    type Metadata = ();

    fn init() -> u64 {
        0
    }

    fn step(end: &u64, op: &Op) -> (bool, u64) {
        match op {
            Op::Append { at, count } => (at == end, at + count),
            Op::End { next } => (next == end, *end),
            Op::Hit { offset } => (offset < end, *end),
        }
    }
}

pub fn check(history: &History) -> Result<(), Violation> {
    if !history.complete {
        return Ok(());
    }
    let operations = operations(history);
    let what = match search(&operations) {
        CheckResult::Ok => return Ok(()),
        CheckResult::Unknown => format!("undecided after {SEARCH_MAX:?}, with {} calls", operations.len()),
        CheckResult::Illegal => explain(&operations),
    };
    Err(Violation { check: "linearizable", what, at_ns: None })
}

fn search(operations: &[Operation<Log>]) -> CheckResult {
    match narrowed(operations) {
        Some(narrowed) => check_operations_timeout(&narrowed, SEARCH_MAX),
        None => CheckResult::Illegal,
    }
}

/// Each call within the time in which it can have happened; none if one of them has no such time.
fn narrowed(operations: &[Operation<Log>]) -> Option<Vec<Operation<Log>>> {
    let mut appends: Vec<(u64, u64, i64, i64)> = Vec::new();
    // When each offset was there, as somebody was told; and when it was still past the end.
    let (mut there, mut missing): (BTreeMap<u64, i64>, BTreeMap<u64, i64>) = Default::default();
    let mut was_there = |offset: u64, at: i64| {
        let first = there.entry(offset).or_insert(at);
        *first = at.min(*first);
    };
    for Operation { op, call_time, return_time, .. } in operations {
        match op {
            Op::Append { at, count } => appends.push((*at, at + count, *call_time, *return_time)),
            Op::Hit { offset } => was_there(*offset, *return_time),
            Op::End { next } => {
                if let Some(last) = next.checked_sub(1) {
                    was_there(last, *return_time);
                }
                let last = missing.entry(*next).or_insert(*call_time);
                *last = (*last).max(*call_time);
            }
        }
    }
    appends.sort_unstable();
    // What holds of one offset holds of all before it, or of all behind it.
    there.values_mut().rev().fold(i64::MAX, |latest, at| {
        *at = latest.min(*at);
        *at
    });
    missing.values_mut().fold(i64::MIN, |earliest, at| {
        *at = earliest.max(*at);
        *at
    });
    let there_at = |offset: u64| there.range(offset..).next().map_or(i64::MAX, |(_, at)| *at);
    let missing_at = |offset: u64| missing.range(..=offset).next_back().map_or(i64::MIN, |(_, at)| *at);
    // When the log can first have reached an offset, and when it must have gone past it.
    let (mut reached, mut passed) = (BTreeMap::from([(0, i64::MIN)]), BTreeMap::new());
    appends.iter().fold(i64::MIN, |earliest, (at, end, called, _)| {
        let earliest = earliest.max(*called).max(missing_at(*at));
        reached.insert(*end, earliest);
        earliest
    });
    appends.iter().rev().fold(i64::MAX, |latest, (at, _, _, returned)| {
        let latest = latest.min(*returned).min(there_at(*at));
        passed.insert(*at, latest);
        latest
    });
    let narrow = |operation: &Operation<Log>| {
        let Operation { call_time, return_time, .. } = *operation;
        let (earliest, latest) = match operation.op {
            Op::Append { at, count } => (reached.get(&(at + count))?, passed.get(&at)?),
            Op::End { next } => (reached.get(&next)?, passed.get(&next).unwrap_or(&i64::MAX)),
            Op::Hit { .. } => (&call_time, &return_time),
        };
        let (call_time, return_time) = (call_time.max(*earliest), return_time.min(*latest));
        (call_time <= return_time).then(|| Operation { call_time, return_time, ..operation.clone() })
    };
    operations.iter().map(narrow).collect()
}

/// The first answer that leaves no order for all that was called up to then.
fn explain(operations: &[Operation<Log>]) -> String {
    let mut returns: Vec<i64> = operations.iter().map(|operation| operation.return_time).collect();
    returns.sort_unstable();
    // What has no order has none with what comes later, either.
    let wrong = returns.partition_point(|now| has_order(&until(operations, *now)));
    let now = returns.get(wrong).copied().unwrap_or(i64::MAX);
    let known = until(operations, now);
    let last = known.iter().filter(|operation| operation.return_time == now).map(|last| {
        let (client, called_s) = (last.client_id.unwrap_or_default(), last.call_time as f64 / 1e9);
        format!("client {client}, who called at {called_s:.6} s: {:?}", last.op)
    });
    let last: Vec<String> = last.collect();
    let at_s = now as f64 / 1e9;
    format!(
        "no order of the {} calls made up to {at_s:.6} s, when there was an answer for {}",
        known.len(),
        last.join("; ")
    )
}

/// As the history was then: later calls were not made, later answers not given.
fn until(operations: &[Operation<Log>], now: i64) -> Vec<Operation<Log>> {
    let made = operations.iter().filter(|operation| operation.call_time <= now);
    let known = made.filter_map(|operation| match (&operation.op, operation.return_time <= now) {
        (_, true) => Some(operation.clone()),
        (Op::Append { .. }, false) => Some(Operation { return_time: i64::MAX, ..operation.clone() }),
        // Who has no answer yet may get another one.
        (_, false) => None,
    });
    known.collect()
}

fn has_order(operations: &[Operation<Log>]) -> bool {
    search(operations) != CheckResult::Illegal
}

pub fn operations(history: &History) -> Vec<Operation<Log>> {
    let operation = |client: u32, called_ns: u64, returned_ns: u64, op| Operation {
        client_id: Some(client),
        call_time: called_ns as i64,
        return_time: i64::try_from(returned_ns).unwrap_or(i64::MAX),
        op,
        metadata: None,
    };
    let mut operations = Vec::new();
    let mut hits: Vec<(u64, Reverse<u64>, u32)> = Vec::new();
    let mut hit = |offset: u64, at_ns: u64, client: u32| hits.push((at_ns, Reverse(offset), client));
    let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
    let places = places(history);
    for (call, produce) in history.produces.iter().enumerate() {
        let Some(at) = places.get(&call) else { continue };
        let count = produce.values.len() as u64;
        let returned_ns = match produce.outcome {
            Outcome::Acked { at_ns, .. } => at_ns,
            Outcome::Unknown | Outcome::Refused => u64::MAX,
        };
        taken.insert(*at, count);
        operations.push(operation(produce.client, produce.called_ns, returned_ns, Op::Append { at: *at, count }));
    }
    for seen in history.seen.iter().chain(&history.reads) {
        hit(seen.offset, seen.at_ns, seen.client);
    }
    for call in &history.calls {
        let op = match call.said {
            Said::Range { next, .. } | Said::Next { next } | Said::Since { found: None, next, .. } => Op::End { next },
            Said::Hit { offset } | Said::Since { found: Some(offset), .. } => {
                hit(offset, call.returned_ns, call.client);
                continue;
            }
            Said::Trimmed { .. } | Said::FencedBy { .. } => continue,
        };
        operations.push(operation(call.client, call.called_ns, call.returned_ns, op));
    }
    // What nobody knows the owner of.
    let (mut next, mut gaps) = (0, Vec::new());
    for (at, count) in &taken {
        gaps.extend(next..*at);
        next = next.max(at + count);
    }
    gaps.extend(next..history.last_range.1.max(next));
    let nobody = |at| operation(0, 0, u64::MAX, Op::Append { at, count: 1 });
    operations.extend(gaps.into_iter().map(nobody));
    // A record that was given when a later one had been, says nothing more. (Left in, those of one answer make
    // the search try all their subsets.)
    hits.sort_unstable();
    let mut known = 0;
    for (at_ns, Reverse(offset), client) in hits {
        if offset >= known {
            known = offset + 1;
            operations.push(operation(client, at_ns, at_ns, Op::Hit { offset }));
        }
    }
    operations
}

/// At which offset the call with this number stands, if it stands anywhere that is known.
fn places(history: &History) -> BTreeMap<usize, u64> {
    let acked = history.produces.iter().enumerate().filter_map(|(call, produce)| match produce.outcome {
        Outcome::Acked { first_offset, .. } => Some((call, first_offset)),
        Outcome::Unknown | Outcome::Refused => None,
    });
    let by_value = history.by_value();
    let read = history.last.iter().chain(&history.seen).chain(&history.reads).filter_map(|seen| {
        let (call, nth) = by_value.get(seen.value.as_slice())?;
        Some((*call, seen.offset.checked_sub(*nth as u64)?))
    });
    read.chain(acked).collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::{history, seen};
    use crate::history::{Call, History, Outcome, Said};

    /// Three records: acked from 10 to 20, unknown and sent at 30, acked from 40 to 50.
    fn three() -> History {
        let mut history = history(&[(0, &["a"]), (2, &["c"])], &["b"], &["a", "b", "c"]);
        for (produce, called_ns) in history.produces.iter_mut().zip([10, 40, 30]) {
            produce.called_ns = called_ns;
            if let Outcome::Acked { at_ns, .. } = &mut produce.outcome {
                *at_ns = called_ns + 10;
            }
        }
        history
    }

    fn told(called_ns: u64, returned_ns: u64, said: Said) -> bool {
        let mut history = three();
        history.calls.push(Call { client: 5, called_ns, returned_ns, said });
        check(&history).is_ok()
    }

    #[test]
    fn what_is_true_at_some_moment_of_the_call_passes() {
        assert_eq!(check(&three()), Ok(()));
        assert!(told(5, 15, Said::Range { first: 0, next: 0 }) && told(5, 15, Said::Range { first: 0, next: 1 }));
        assert!(told(35, 36, Said::Next { next: 1 }) && told(35, 36, Said::Next { next: 2 }));
        assert!(told(45, 46, Said::Hit { offset: 2 }));
    }

    #[test]
    fn canaries_an_end_that_is_old_and_one_that_is_yet_to_come() {
        assert!(!told(25, 26, Said::Range { first: 0, next: 0 }));
        assert!(!told(25, 26, Said::Range { first: 0, next: 2 }));
        assert!(!told(55, 56, Said::Next { next: 2 }));
        assert!(!told(25, 26, Said::Since { time_ms: 9, found: None, next: 2 }));
    }

    #[test]
    fn canary_a_record_that_was_read_before_it_was_sent() {
        assert!(!told(25, 26, Said::Hit { offset: 1 }));
        let mut history = three();
        history.seen.push(crate::history::Seen { at_ns: 29, ..seen(1, "b") });
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_two_who_disagree_on_when_the_unanswered_one_happened() {
        let mut history = three();
        let mut told = |called_ns, next| {
            let said = Said::Range { first: 0, next };
            history.calls.push(Call { client: 5, called_ns, returned_ns: called_ns + 1, said });
            check(&history).is_ok()
        };
        assert!(told(32, 2));
        assert!(!told(36, 1));
    }

    #[test]
    fn canary_an_acked_record_behind_one_that_was_sent_after_its_answer() {
        let mut history = history(&[(1, &["b"]), (0, &["a"])], &[], &["a", "b"]);
        history.produces[1].called_ns = 5;
        history.produces[1].outcome = Outcome::Acked { first_offset: 0, at_ns: 6 };
        assert!(check(&history).is_err());
    }

    #[test]
    fn what_was_trimmed_and_never_read_may_be_anybodys() {
        let mut history = three();
        history.last.drain(..2);
        history.last_range = (2, 3);
        assert_eq!(check(&history), Ok(()));
    }

    #[test]
    fn thousands_of_calls_take_no_time_right_or_wrong() {
        let mut history = History { complete: true, ..History::default() };
        for nth in 0..5_000u64 {
            let value = format!("{nth}").into_bytes();
            let outcome = match nth % 7 {
                0 => Outcome::Unknown,
                _ => Outcome::Acked { first_offset: nth, at_ns: nth * 10 + 95 },
            };
            history.last.push(seen(nth, &format!("{nth}")));
            let produce =
                crate::history::Produce { values: vec![value], called_ns: nth * 10, outcome, ..Default::default() };
            history.produces.push(produce);
            let said = Said::Next { next: nth };
            history.calls.push(Call { client: 5, called_ns: nth * 10 - nth.min(3), returned_ns: nth * 10 + 60, said });
        }
        history.last_range = (0, 5_000);
        assert_eq!(check(&history), Ok(()));
        let said = Said::Next { next: 4_000 };
        history.calls.push(Call { client: 5, called_ns: 49_000, returned_ns: 49_001, said });
        assert!(check(&history).is_err());
    }
}
