//! The records of a producer that sends again until it is answered stand in the log in the order of
//! their sequences; and (as everywhere) none of them twice. What an earlier producer of the same client left open may
//! come later: it has another name.

use crate::history::{History, Violation, show};
use std::collections::BTreeMap;

pub fn check(history: &History) -> Result<(), Violation> {
    if !history.complete {
        return Ok(());
    }
    let by_value = history.by_value();
    let mut last: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    for seen in &history.last {
        let Some((call, nth)) = by_value.get(seen.value.as_slice()) else { continue };
        let produce = &history.produces[*call];
        let Some(first) = produce.sequence else { continue };
        let sequence = first + *nth as u64;
        if let Some(before) = last.insert((produce.client, produce.life), sequence)
            && before >= sequence
        {
            let what = format!(
                "{} of producer {} stands at offset {} with sequence {sequence}, behind its sequence {before}",
                show(&seen.value),
                produce.client,
                seen.offset
            );
            return Err(Violation { check: "exactly once", what, at_ns: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::history;

    fn passes(last: &[&str]) -> bool {
        in_lives([1, 1, 1], last)
    }

    fn in_lives(lives: [u64; 3], last: &[&str]) -> bool {
        let mut history = history(&[], &["a", "b", "c"], last);
        for ((sequence, produce), life) in (7..).zip(&mut history.produces).zip(lives) {
            (produce.sequence, produce.life) = (Some(sequence), life);
        }
        check(&history).is_ok()
    }

    #[test]
    fn what_an_earlier_producer_left_open_may_come_behind_a_later_ones() {
        assert!(in_lives([1, 1, 2], &["a", "c", "b"]));
        assert!(!in_lives([1, 1, 2], &["b", "c", "a"]));
    }

    #[test]
    fn in_the_order_of_their_sequences_passes_also_with_some_missing() {
        assert!(passes(&["a", "b", "c"]) && passes(&["a", "c"]));
    }

    #[test]
    fn canaries_a_record_again_and_two_that_changed_places() {
        assert!(!passes(&["a", "b", "a"]) && !passes(&["b", "a"]));
    }
}
