//! Entries as words, one after the other: `check("what is appended", "what each gives")`.

use super::*;
use crate::entry::EntryId;
use bytes::Bytes;

/// `2` two records; `p@5:2` two records of producer p from sequence 5 on; then `+` a gap is allowed,
/// `=7` expected at offset 7, `#3` with fencing token 3. `fence3` sets the token, `fence3!` and requires
/// one; `trim4` trims.
fn entry(index: u64, word: &str) -> Entry {
    let id = EntryId { term: 1, index };
    let command = |command: Command| Entry { id, kind: Kind::Command, time_ms: 0, payload: command.encode() };
    if let Some(token) = word.strip_prefix("fence") {
        let required = token.ends_with('!');
        let token = token.trim_end_matches('!').parse().unwrap();
        return command(Command::Fence(Fence { token, required }));
    }
    if let Some(first_offset) = word.strip_prefix("trim") {
        return command(Command::Trim { first_offset: first_offset.parse().unwrap() });
    }
    let (word, token) = word.split_once('#').map_or((word, None), |(word, token)| (word, token.parse().ok()));
    let (word, offset) = word.split_once('=').map_or((word, None), |(word, offset)| (word, offset.parse().ok()));
    let gap_allowed = word.ends_with('+');
    let word = word.trim_end_matches('+');
    let (producer, count) = match word.split_once('@') {
        Some((id, place)) => {
            let (sequence, count) = place.split_once(':').unwrap();
            let id = Bytes::copy_from_slice(id.as_bytes());
            (Some(ProducerSequence { id, sequence: sequence.parse().unwrap(), gap_allowed }), count)
        }
        None => (None, word),
    };
    let conditions = Conditions { producer, expected_offset: offset, fencing_token: token };
    let batch = RecordBatch { conditions, records: vec![Bytes::new(); count.parse().unwrap()] };
    Entry { id, kind: Kind::Records, time_ms: 0, payload: batch.encode() }
}

fn check(entries: &str, outcomes: &str) {
    let mut state = State::default();
    let mut given = Vec::new();
    for (index, word) in entries.split(' ').enumerate() {
        given.push(match state.apply(&entry(index as u64, word)).unwrap() {
            Outcome::Nothing => "nothing".to_owned(),
            Outcome::Appended { first_offset, .. } => format!("at{first_offset}"),
            Outcome::Repeated { first_offset, .. } => format!("again{first_offset}"),
            Outcome::Refused(Refusal::ExpectedOffset { next, .. }) => format!("next={next}"),
            Outcome::Refused(Refusal::Fenced { current, .. }) => format!("fenced{current}"),
            Outcome::Refused(Refusal::SequenceTooOld { expected, .. }) => format!("old<{expected}"),
            Outcome::Refused(Refusal::SequenceGap { expected, .. }) => format!("gap>{expected}"),
            Outcome::Trimmed { first_offset } => format!("from{first_offset}"),
            Outcome::Fenced(_) | Outcome::RetentionSet(_) => "set".to_owned(),
        });
    }
    assert_eq!(given.join(" "), outcomes, "{entries}");
}

#[test]
fn a_batch_is_appended_once_however_often_it_is_sent() {
    check("p@0:2 p@2:1 p@0:2 p@2:1 p@3:1", "at0 at2 again0 again2 at3");
    check("p@0:1 q@0:1 p@0:1 q@0:1", "at0 at1 again0 again1");
}

#[test]
fn a_gap_and_a_batch_that_was_cut_otherwise_are_refused_and_take_no_offset() {
    check("p@7:2 p@10:1 p@10:1+ p@8:1 p@7:1 1", "at0 gap>9 at2 old<11 old<11 at3");
}

#[test]
fn compare_and_append_goes_by_the_offset_that_the_record_would_get() {
    check("1=0 1=0 1=1 2=3 2=2", "at0 next=1 at1 next=2 at2");
}

#[test]
fn a_repeat_is_a_success_even_where_its_condition_holds_no_more() {
    check("p@0:1=0 1 p@0:1=0 fence9! p@0:1=0", "at0 at1 again0 set again0");
}

#[test]
fn an_older_token_is_refused_and_no_token_only_if_one_is_required() {
    check(
        "1 fence5 1 1#4 1#5 1#6 fence5! 1 1#5 fence4 fence6 1#5 1",
        "at0 set at1 fenced5 at2 at3 set fenced5 at4 fenced5 set fenced6 at5",
    );
}

#[test]
fn a_refused_batch_leaves_its_producer_as_it_was() {
    check("p@0:1 p@1:1=0 p@1:1", "at0 next=1 at1");
    check("fence2 p@0:1#1 p@5:1", "set fenced2 at0");
}

#[test]
fn a_trim_never_goes_back_or_past_the_end() {
    check("3 trim2 trim1 trim9", "at0 from2 from2 from3");
}
