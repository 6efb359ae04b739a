//! The checks, one file each, each with canaries: histories that it must refuse.

mod acked_survives;
mod exactly_once;
pub mod gossip;
mod in_order;
mod linearizable;
pub mod mirror;
pub mod one_truth;
pub mod peace;
mod prefix;
pub mod raft;
mod recovery;
pub mod served;

use crate::history::{History, Violation};

type Check = fn(&History) -> Result<(), Violation>;

pub const ALL: [(&str, Check); 12] = [
    ("acked survives", acked_survives::check),
    ("one truth", one_truth::check),
    ("exactly once", exactly_once::check),
    ("prefix", prefix::check),
    ("linearizable", linearizable::check),
    ("in order", in_order::check),
    ("raft", noticed),
    ("gossip", noticed),
    ("recovery", recovery::check),
    ("liveness", noticed),
    ("mirror", noticed),
    ("situation", noticed),
];

/// Runs all checks; what the world itself noticed while it ran comes first, since it happened first.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found: Vec<Violation> = Vec::new();
    let noticed = history.complaints.iter().map(|complaint| Violation {
        check: complaint.check,
        what: complaint.what.clone(),
        at_ns: Some(complaint.at_ns),
    });
    let concluded = ALL.iter().filter_map(|(_, check)| check(history).err());
    for violation in noticed.chain(concluded) {
        if found.iter().all(|earlier| earlier.check != violation.check) {
            found.push(violation);
        }
    }
    found
}

/// What the world notices while it runs: Raft's promises ([`raft`]); who is seen to be there ([`gossip`]); that a majority
/// in peace is led ([`peace`]) and serves ([`served`]); that both logs of a mirror agree ([`mirror`]); that a scenario is in its situation; and that after heal every node serves within bounded time, is a voter, every tail wakes,
/// and a record produced all alone is acked.
fn noticed(_: &History) -> Result<(), Violation> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod sample {
    use crate::history::{History, Outcome, Produce, Seen};

    /// `acked` has (first offset, values); `last` is the log after heal.
    pub fn history(acked: &[(u64, &[&str])], unknown: &[&str], last: &[&str]) -> History {
        let produce = |outcome, values: &[&str]| Produce {
            client: 0,
            values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
            called_ns: 0,
            outcome,
            sequence: None,
            in_order: None,
            life: 0,
            fencing_token: None,
        };
        let mut history = History::default();
        for (first_offset, values) in acked {
            history.produces.push(produce(Outcome::Acked { first_offset: *first_offset, at_ns: 1 }, values));
        }
        for value in unknown {
            history.produces.push(produce(Outcome::Unknown, &[value]));
        }
        history.last = last.iter().enumerate().map(|(offset, value)| seen(offset as u64, value)).collect();
        history.last_range = (0, last.len() as u64);
        history.complete = true;
        history
    }

    pub fn seen(offset: u64, value: &str) -> Seen {
        Seen { client: 9, offset, value: value.as_bytes().to_vec(), append_time_ms: 0, at_ns: 2 }
    }

    #[test]
    fn canary_what_the_world_noticed_fails_the_run_whatever_the_check() {
        for (check, _) in super::ALL {
            let mut history = history(&[], &[], &[]);
            assert_eq!(super::check(&history), []);
            history.complaints.push(crate::history::Complaint { check, what: "seen".into(), at_ns: 5 });
            assert_eq!(super::check(&history)[0].check, check);
        }
    }
}
