//! A client that follows the tail sees no gap, no repeat and no step back. (Each of the workload's
//! consumers resumes one past the last record it saw.)

use crate::history::{History, Violation};
use std::collections::BTreeMap;

pub fn check(history: &History) -> Result<(), Violation> {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for seen in &history.seen {
        let expected = next.insert(seen.client, seen.offset + 1);
        let trimmed = expected.is_some_and(|expected| expected < seen.offset && seen.offset <= history.trimmed_to());
        if expected.is_some_and(|expected| expected != seen.offset) && !trimmed {
            let what = format!(
                "consumer {} got offset {} where {} was next",
                seen.client,
                seen.offset,
                expected.unwrap_or_default()
            );
            return Err(Violation { check: "in order", what, at_ns: Some(seen.at_ns) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::{history, seen};

    fn reads(offsets: &[u64], trimmed_to: u64) -> bool {
        let mut history = history(&[], &[], &[]);
        history.trims_done = trimmed_to;
        history.seen = offsets.iter().map(|offset| seen(*offset, "x")).collect();
        check(&history).is_ok()
    }

    #[test]
    fn reading_on_passes_and_so_does_skipping_what_was_trimmed() {
        assert!(reads(&[3, 4, 5], 0));
        assert!(reads(&[3, 7, 8], 7));
    }

    #[test]
    fn canaries_a_gap_a_repeat_and_a_step_back() {
        assert!(!reads(&[3, 5], 0));
        assert!(!reads(&[3, 3], 0));
        assert!(!reads(&[3, 4, 2], 9));
    }
}
