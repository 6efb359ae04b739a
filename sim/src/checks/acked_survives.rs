//! Every acked record is read back, at its offset, byte for byte, after any tolerated faults; unless
//! it was trimmed.

use crate::history::{History, Violation, show};
use std::collections::BTreeMap;

pub fn check(history: &History) -> Result<(), Violation> {
    if !history.complete {
        return Ok(());
    }
    let kept: BTreeMap<u64, &[u8]> = history.last.iter().map(|seen| (seen.offset, seen.value.as_slice())).collect();
    let (first_offset, _) = history.last_range;
    if first_offset > history.trimmed_to() {
        return violation(format!(
            "the log starts at offset {first_offset}, but nobody trimmed beyond {}",
            history.trimmed_to()
        ));
    }
    for (acked, produce) in history.acked() {
        for (offset, value) in (acked..).zip(&produce.values) {
            match kept.get(&offset) {
                Some(found) if *found == value.as_slice() => {}
                None if offset < first_offset => {}
                Some(found) => {
                    return violation(format!(
                        "offset {offset} was acked to client {} as {}, and holds {}",
                        produce.client,
                        show(value),
                        show(found)
                    ));
                }
                None => {
                    return violation(format!(
                        "offset {offset} was acked to client {} as {}, and is gone (the log is {:?})",
                        produce.client,
                        show(value),
                        history.last_range
                    ));
                }
            }
        }
    }
    Ok(())
}

fn violation(what: String) -> Result<(), Violation> {
    Err(Violation { check: "acked survives", what, at_ns: None })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::history;

    #[test]
    fn what_was_acked_and_is_there_passes() {
        assert_eq!(check(&history(&[(0, &["a", "b"]), (2, &["c"])], &["d"], &["a", "b", "c"])), Ok(()));
    }

    #[test]
    fn canary_an_acked_record_that_is_gone() {
        assert!(check(&history(&[(0, &["a"]), (1, &["b"])], &[], &["a"])).is_err());
    }

    #[test]
    fn canary_an_acked_record_with_other_bytes() {
        assert!(check(&history(&[(0, &["a"])], &[], &["b"])).is_err());
    }

    #[test]
    fn canary_a_log_that_starts_behind_the_trim_point() {
        let mut history = history(&[(0, &["a"]), (1, &["b"])], &[], &["a", "b"]);
        history.last.remove(0);
        history.last_range = (1, 2);
        assert!(check(&history).is_err());
        history.trims_open.insert(0, 1);
        assert_eq!(check(&history), Ok(()));
    }
}
