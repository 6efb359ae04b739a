//! Of the records of a producer that ends at the first failure the log has some first ones, and no other.

use crate::history::{History, Outcome, Violation, show};
use std::collections::{BTreeMap, BTreeSet};

pub fn check(history: &History) -> Result<(), Violation> {
    if !history.complete {
        return Ok(());
    }
    let there: BTreeSet<&[u8]> = history.last.iter().map(|seen| seen.value.as_slice()).collect();
    let (first, _) = history.last_range;
    // Of each life of each producer, the first record that is not in the log.
    let mut missing: BTreeMap<(u32, u64), &[u8]> = BTreeMap::new();
    for produce in &history.produces {
        let Some(life) = produce.in_order else { continue };
        let of = (produce.client, life);
        for value in &produce.values {
            if let Some(missing) = missing.get(&of)
                && there.contains(value.as_slice())
            {
                let what = format!(
                    "{} of producer {} is in the log, and {} before it is not",
                    show(value),
                    produce.client,
                    show(missing)
                );
                return Err(Violation { check: "prefix", what, at_ns: None });
            }
            // What is not seen was trimmed, perhaps.
            let is_missing = match produce.outcome {
                Outcome::Refused => true,
                Outcome::Unknown => first == 0 && !there.contains(value.as_slice()),
                Outcome::Acked { .. } => false,
            };
            if is_missing {
                missing.entry(of).or_insert(value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::sample::history;
    use crate::history::{History, Outcome};

    fn of_one_life(mut history: History) -> History {
        history.produces.iter_mut().for_each(|produce| produce.in_order = Some(1));
        history
    }

    #[test]
    fn some_first_ones_pass_and_so_do_those_of_several_lives() {
        let passes = |last: &[&str]| check(&of_one_life(history(&[], &["a", "b", "c"], last))).is_ok();
        assert!(passes(&[]) && passes(&["a"]) && passes(&["a", "x", "b", "c"]));
        let mut other = of_one_life(history(&[], &["a", "b"], &["b"]));
        other.produces[1].in_order = Some(2);
        assert!(check(&other).is_ok());
        let mut trimmed = of_one_life(history(&[], &["a", "b"], &["b"]));
        trimmed.last_range = (1, 2);
        assert!(check(&trimmed).is_ok());
    }

    #[test]
    fn canaries_one_that_follows_a_missing_one_and_one_that_follows_a_refused_one() {
        assert!(check(&of_one_life(history(&[], &["a", "b"], &["b"]))).is_err());
        let mut refused = of_one_life(history(&[], &["a", "b"], &["b"]));
        refused.last_range = (1, 2);
        refused.produces[0].outcome = Outcome::Refused;
        assert!(check(&refused).is_err());
    }
}
