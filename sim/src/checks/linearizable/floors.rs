//! One node answers one after the other: what an answer said of the log holds for every call made after
//! it. The log's end and start never go back, a record produced after an answer stands behind what the
//! answer said, a token that was confirmed keeps older ones out, and a start at a time is the first record
//! of that time.

use crate::history::{History, Outcome, Produce, Said, Violation, show};
use std::collections::BTreeMap;

/// What was known at which time to be the least.
struct Floor {
    known: BTreeMap<u64, u64>,
}

impl Floor {
    /// `(returned at, at least)`, in any order.
    fn new(mut known: Vec<(u64, u64)>) -> Floor {
        known.sort_unstable();
        let mut least = 0;
        let rising = known.into_iter().map(|(at, value)| {
            least = least.max(value);
            (at, least)
        });
        Floor { known: rising.collect() }
    }

    /// The least that a call made at `called_ns` may be answered.
    fn before(&self, called_ns: u64) -> u64 {
        self.known.range(..called_ns).next_back().map_or(0, |(_, least)| *least)
    }
}

pub fn check(history: &History) -> Result<(), Violation> {
    let ends = Floor::new(known_ends(history));
    let starts = Floor::new(known_starts(history));
    let confirmed = history.fences.iter().filter_map(|fence| Some((fence.returned_ns?, fence.token)));
    let tokens = Floor::new(confirmed.collect());

    for (offset, produce) in history.acked() {
        let least = ends.before(produce.called_ns);
        if offset < least {
            let what = format!("{} went to offset {offset}, {least} was the end before it was sent", first(produce));
            return violation(what, produce);
        }
        if let Some(token) = produce.fencing_token
            && token < tokens.before(produce.called_ns)
        {
            let newer = tokens.before(produce.called_ns);
            let what = format!("{} was appended with fencing token {token}, {newer} was set before", first(produce));
            return violation(what, produce);
        }
        if produce.fencing_token.is_none() && is_kept_out(history, produce) {
            let what = format!("{} was appended without a fencing token, which the log required", first(produce));
            return violation(what, produce);
        }
    }
    // Those without an answer are in the log, or not; if they are, the same holds.
    let by_value = history.by_value();
    for seen in &history.last {
        let Some((call, 0)) = by_value.get(seen.value.as_slice()) else { continue };
        let produce = &history.produces[*call];
        if seen.offset < ends.before(produce.called_ns) {
            let what = format!("{} stands at offset {}, before what was there already", first(produce), seen.offset);
            return violation(what, produce);
        }
    }
    for call in &history.calls {
        let fail = |what| Err(Violation { check: "linearizable", what, at_ns: Some(call.returned_ns) });
        let (end, start) = (ends.before(call.called_ns), starts.before(call.called_ns));
        match call.said {
            Said::Range { next, .. } | Said::Next { next } | Said::Since { found: None, next, .. } if next < end => {
                return fail(format!("client {} was told that {next} is the end, it was {end}", call.client));
            }
            Said::Range { first, .. } | Said::Trimmed { first } if first < start => {
                return fail(format!("client {} was told that {first} is the start, it was {start}", call.client));
            }
            Said::FencedBy { token } => {
                let set =
                    |fence: &&crate::history::FenceCall| fence.token == token && fence.called_ns < call.returned_ns;
                if token < tokens.before(call.called_ns) || token > 0 && history.fences.iter().find(set).is_none() {
                    return fail(format!("client {} was told of fencing token {token}", call.client));
                }
            }
            Said::Since { time_ms, found, next } => since(history, time_ms, found, next).or_else(fail)?,
            _ => {}
        }
    }
    Ok(())
}

fn known_ends(history: &History) -> Vec<(u64, u64)> {
    let acked = history.produces.iter().filter_map(|produce| match produce.outcome {
        Outcome::Acked { first_offset, at_ns } => Some((at_ns, first_offset + produce.values.len() as u64)),
        Outcome::Unknown | Outcome::Refused => None,
    });
    let read = history.seen.iter().chain(&history.reads).map(|seen| (seen.at_ns, seen.offset + 1));
    let said = history.calls.iter().filter_map(|call| match call.said {
        Said::Range { next, .. } | Said::Next { next } => Some((call.returned_ns, next)),
        Said::Hit { offset } => Some((call.returned_ns, offset + 1)),
        _ => None,
    });
    acked.chain(read).chain(said).collect()
}

fn known_starts(history: &History) -> Vec<(u64, u64)> {
    let said = history.calls.iter().filter_map(|call| match call.said {
        Said::Range { first, .. } | Said::Trimmed { first } => Some((call.returned_ns, first)),
        _ => None,
    });
    said.collect()
}

/// Whether a token was required all the time that the produce took.
fn is_kept_out(history: &History, produce: &Produce) -> bool {
    let Outcome::Acked { at_ns, .. } = produce.outcome else { return false };
    let is_let_in_again = |since: u64| {
        history.fences.iter().any(|fence| {
            !fence.required && fence.called_ns < at_ns && fence.returned_ns.is_none_or(|returned| returned > since)
        })
    };
    history.fences.iter().any(|fence| {
        let confirmed = fence.returned_ns.is_some_and(|returned| returned < produce.called_ns);
        fence.required && confirmed && !is_let_in_again(fence.called_ns)
    })
}

/// Against what is there in the end: append times do not change.
fn since(history: &History, time_ms: i64, found: Option<u64>, next: u64) -> Result<(), String> {
    let (first, _) = history.last_range;
    let time_of = |offset: u64| Some(history.last.get(offset.checked_sub(first)? as usize)?.append_time_ms);
    if let Some(offset) = found
        && time_of(offset).is_some_and(|time| time < time_ms)
    {
        return Err(format!("since {time_ms} starts at offset {offset}, which is of {:?}", time_of(offset)));
    }
    let before = found.unwrap_or(next).checked_sub(1);
    if let Some(time) = before.and_then(time_of)
        && time >= time_ms
    {
        return Err(format!("since {time_ms} leaves out offset {before:?}, which is of {time}"));
    }
    Ok(())
}

fn first(produce: &Produce) -> String {
    produce.values.first().map_or_else(String::new, |value| show(value))
}

fn violation(what: String, produce: &Produce) -> Result<(), Violation> {
    Err(Violation { check: "linearizable", what, at_ns: Some(produce.called_ns) })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::history;
    use crate::history::{Call, FenceCall, History, Said};

    /// Two records acked at 1 (called at 0), then the call.
    fn said(called_ns: u64, said: Said) -> bool {
        let mut history = history(&[(0, &["a"]), (1, &["b"])], &[], &["a", "b"]);
        history.calls.push(Call { client: 5, called_ns, returned_ns: called_ns + 1, said });
        check(&history).is_ok()
    }

    #[test]
    fn an_end_that_was_true_at_some_moment_of_the_call_passes() {
        assert!(said(5, Said::Range { first: 0, next: 2 }));
        assert!(said(0, Said::Range { first: 0, next: 1 }));
    }

    #[test]
    fn canary_an_end_from_before_what_was_acked() {
        assert!(!said(5, Said::Range { first: 0, next: 1 }));
        assert!(!said(5, Said::Next { next: 0 }));
        assert!(!said(5, Said::Since { time_ms: 9, found: None, next: 1 }));
    }

    #[test]
    fn canary_a_record_before_the_end_that_somebody_was_told() {
        let mut history = history(&[(0, &["a"])], &[], &["a"]);
        history.produces[0].called_ns = 9;
        history.produces[0].outcome = crate::history::Outcome::Acked { first_offset: 0, at_ns: 10 };
        assert_eq!(check(&history), Ok(()));
        history.calls.push(Call { client: 5, called_ns: 1, returned_ns: 2, said: Said::Hit { offset: 4 } });
        assert!(check(&history).is_err());
    }

    #[test]
    fn canary_a_start_that_goes_back() {
        let mut history = History::default();
        history.calls.push(Call { client: 5, called_ns: 1, returned_ns: 2, said: Said::Trimmed { first: 4 } });
        assert_eq!(check(&history), Ok(()));
        history.calls.push(Call { client: 5, called_ns: 3, returned_ns: 4, said: Said::Range { first: 3, next: 9 } });
        assert!(check(&history).is_err());
    }

    #[test]
    fn canaries_a_time_start_one_record_off_either_way() {
        let starts_at = |offset| {
            let mut history = history(&[(0, &["a", "b", "c"])], &[], &["a", "b", "c"]);
            for (time, seen) in (10..).zip(&mut history.last) {
                seen.append_time_ms = time;
            }
            let said = Said::Since { time_ms: 11, found: Some(offset), next: 3 };
            history.calls.push(Call { client: 5, called_ns: 5, returned_ns: 6, said });
            check(&history).is_ok()
        };
        assert!(!starts_at(0) && starts_at(1) && !starts_at(2));
    }

    fn fenced(token: Option<u64>, required: bool) -> bool {
        let mut history = history(&[(0, &["a"])], &[], &["a"]);
        history.produces[0].called_ns = 9;
        history.produces[0].outcome = crate::history::Outcome::Acked { first_offset: 0, at_ns: 10 };
        history.produces[0].fencing_token = token;
        history.fences.push(FenceCall { token: 3, required, called_ns: 1, returned_ns: Some(2) });
        check(&history).is_ok()
    }

    #[test]
    fn canaries_an_older_token_and_none_where_one_was_required() {
        assert!(fenced(Some(3), true) && fenced(None, false));
        assert!(!fenced(Some(2), false));
        assert!(!fenced(None, true));
    }

    #[test]
    fn canary_a_token_that_nobody_set() {
        assert!(!said(5, Said::FencedBy { token: 4 }));
    }
}
