//! Another checker, by others, that knows nothing of the final order and tries every one: on small histories
//! the two must agree.

use super::search;
use crate::checks::{acked_survives, one_truth};
use crate::history::{Call, History, Outcome, Produce, Said, Seen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// The log as the other checker runs it.
#[derive(Clone, Debug, PartialEq)]
struct Log(Vec<u32>);

#[derive(Clone, Debug)]
enum Op {
    Append(u32),
    End,
    Read(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Ret {
    At(usize),
    Value(Option<u32>),
}

impl SequentialSpec for Log {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match op {
            Op::Append(value) => {
                self.0.push(*value);
                Ret::At(self.0.len() - 1)
            }
            Op::End => Ret::At(self.0.len()),
            Op::Read(at) => Ret::Value(self.0.get(*at).copied()),
        }
    }
}

/// One call of one client: when it was sent and answered, with what.
#[derive(Clone, Debug)]
struct Made {
    thread: u32,
    called: u64,
    returned: Option<u64>,
    op: Op,
    ret: Ret,
}

/// A log that some clients use at once, each call at one moment in its middle; and the log in the end.
fn run(rng: &mut ChaCha12Rng) -> (Vec<Made>, Log) {
    let (mut log, mut made, mut free) = (Log(Vec::new()), Vec::new(), [0u64; 3]);
    let mut moments = Vec::new();
    for value in 0..rng.random_range(2..8u32) {
        let thread = rng.random_range(0..free.len());
        let called = free[thread] + rng.random_range(1..6);
        let moment = called + rng.random_range(1..8);
        let returned = moment + rng.random_range(1..8);
        free[thread] = returned;
        moments.push((moment, thread, called, returned, value));
    }
    moments.sort_unstable();
    let mut gone = [false; 3];
    for (_, thread, called, returned, value) in moments {
        if gone[thread] {
            continue;
        }
        let op = match rng.random_range(0..3) {
            0 => Op::End,
            1 => Op::Read(rng.random_range(0..3)),
            _ => Op::Append(value),
        };
        // Nobody waits for an answer that does not come: that client asks no more.
        let lost = matches!(op, Op::Append(_)) && rng.random_bool(0.25);
        gone[thread] = lost;
        let happens = !lost || rng.random_bool(0.5);
        let ret = if happens { log.invoke(&op) } else { Ret::Value(None) };
        made.push(Made { thread: thread as u32, called, returned: (!lost).then_some(returned), op, ret });
    }
    (made, log)
}

fn theirs(made: &[Made], log: &Log) -> bool {
    let mut tester = LinearizabilityTester::new(Log(Vec::new()));
    let calls = made.iter().enumerate().map(|(nth, made)| (made.called, false, nth));
    let returns = made.iter().enumerate().filter_map(|(nth, made)| Some((made.returned?, true, nth)));
    // Of equal times the calls come first: then they overlap.
    let mut events: Vec<_> = calls.chain(returns).collect();
    events.sort_unstable();
    for (_, is_return, nth) in events {
        let Made { thread, op, ret, .. } = &made[nth];
        if is_return {
            tester.on_return(*thread, ret.clone()).unwrap();
        } else {
            tester.on_invoke(*thread, op.clone()).unwrap();
        }
    }
    // Ours knows the log in the end; so shall theirs.
    for at in 0..=log.0.len() {
        tester.on_invoke(99, Op::Read(at)).unwrap().on_return(99, Ret::Value(log.0.get(at).copied())).unwrap();
    }
    tester.is_consistent()
}

fn ours(made: &[Made], log: &Log) -> bool {
    let bytes = |value: u32| value.to_string().into_bytes();
    let seen = |offset: usize, value: u32, at_ns: u64| Seen {
        client: 9,
        offset: offset as u64,
        value: bytes(value),
        append_time_ms: 0,
        at_ns,
    };
    let mut history = History { complete: true, ..History::default() };
    let ended = made.iter().filter_map(|made| made.returned).max().unwrap_or(0) + 100;
    history.last = log.0.iter().enumerate().map(|(offset, value)| seen(offset, *value, ended)).collect();
    history.last_range = (0, log.0.len() as u64);
    for Made { thread, called, returned, op, ret } in made {
        let said = match (op, ret, returned) {
            (Op::Append(value), ret, returned) => {
                let outcome = match (ret, returned) {
                    (Ret::At(at), Some(at_ns)) => Outcome::Acked { first_offset: *at as u64, at_ns: *at_ns },
                    _ => Outcome::Unknown,
                };
                let (client, values, called_ns) = (*thread, vec![bytes(*value)], *called);
                history.produces.push(Produce { client, values, called_ns, outcome, ..Produce::default() });
                continue;
            }
            (Op::End, Ret::At(next), _) => Said::Range { first: 0, next: *next as u64 },
            (Op::Read(at), Ret::Value(Some(value)), Some(returned)) => {
                history.reads.push(seen(*at, *value, *returned));
                Said::Hit { offset: *at as u64 }
            }
            // A read in vain says only that the end is not past it; the product names the end.
            _ => continue,
        };
        let returned_ns = returned.expect("only appends are lost");
        history.calls.push(Call { client: *thread, called_ns: *called, returned_ns, said });
    }
    // The search leaves values to the other checks: that every reader saw the same, and what was acked is there.
    let others = [acked_survives::check, one_truth::check];
    others.iter().all(|check| check(&history).is_ok()) && search::check(&history).is_ok()
}

/// Those that ours is not told of are left out of theirs.
fn told(made: Vec<Made>) -> Vec<Made> {
    made.into_iter().filter(|made| !matches!((&made.op, &made.ret), (Op::Read(_), Ret::Value(None)))).collect()
}

#[test]
fn both_find_an_order_for_what_had_one() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    for _ in 0..1_000 {
        let (made, log) = run(&mut rng);
        let made = told(made);
        assert!(theirs(&made, &log), "{made:#?} {log:?}");
        assert!(ours(&made, &log), "{made:#?} {log:?}");
    }
}

#[test]
fn both_agree_on_what_was_tampered_with() {
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let (mut refused, mut passed) = (0, 0);
    for _ in 0..4_000 {
        let (made, log) = run(&mut rng);
        let mut made = told(made);
        if made.is_empty() {
            continue;
        }
        let at = rng.random_range(0..made.len());
        match rng.random_range(0..3) {
            0 => match &mut made[at].ret {
                Ret::At(at) => *at = (*at + rng.random_range(0..3)).saturating_sub(1),
                Ret::Value(_) => continue,
            },
            // Sent, or answered, at another time; never inside another call of the same client.
            1 => {
                let (thread, called) = (made[at].thread, made[at].called);
                let before = made.iter().filter(|made| made.thread == thread && made.called < called);
                let floor = before.filter_map(|made| made.returned).max().unwrap_or(0);
                made[at].called = rng.random_range(floor + 1..=called.max(floor + 1));
            }
            _ => {
                let (first, called) = (made[at].returned, made[at].called);
                made[at].returned = first.map(|returned| rng.random_range(called + 1..=returned.max(called + 1)));
            }
        }
        let (theirs, ours) = (theirs(&made, &log), ours(&made, &log));
        assert_eq!(theirs, ours, "{made:#?} {log:?}");
        if ours { passed += 1 } else { refused += 1 }
    }
    assert!(refused > 300 && passed > 300, "{refused} refused, {passed} passed: the test compares nothing");
}
