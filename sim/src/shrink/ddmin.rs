//! Delta debugging (Zeller and Hildebrandt, 2002): halves first, then smaller and smaller parts.

/// As few of `all`, in their order, as still fail; no single one of the rest can be left out. `first_failing` is given
/// some choices and says which of them is the first that fails.
///
/// # Errors
/// What `first_failing` says.
pub fn ddmin<T: Clone, E>(
    mut all: Vec<T>,
    mut first_failing: impl FnMut(&[Vec<T>]) -> Result<Option<usize>, E>,
) -> Result<Vec<T>, E> {
    if all.is_empty() || first_failing(&[Vec::new()])?.is_some() {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while all.len() > 1 {
        let ranges: Vec<_> = (0..parts).map(|nth| nth * all.len() / parts..(nth + 1) * all.len() / parts).collect();
        let part = ranges.iter().map(|range| all[range.clone()].to_vec());
        let rest = ranges.iter().map(|range| [&all[..range.start], &all[range.end..]].concat());
        // Of two parts, each is what the other one leaves.
        let choices: Vec<Vec<T>> = if parts == 2 { part.collect() } else { part.chain(rest).collect() };
        match first_failing(&choices)? {
            Some(nth) => {
                all.clone_from(&choices[nth]);
                parts = if nth < parts { 2 } else { parts - 1 }.min(all.len());
            }
            None if parts == all.len() => break,
            None => parts = (2 * parts).min(all.len()),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::ddmin;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn least(all: Vec<u32>, fails: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        let Ok(least) = ddmin::<_, Infallible>(all, |choices| Ok(choices.iter().position(|choice| fails(choice))));
        least
    }

    proptest! {
        #[test]
        fn just_those_that_are_needed_are_left(all in 0u32..40, needed in prop::collection::btree_set(0u32..40, 0..6)) {
            let needed: Vec<u32> = needed.into_iter().filter(|needed| *needed < all).collect();
            let fails = |some: &[u32]| needed.iter().all(|needed| some.contains(needed));
            prop_assert_eq!(least((0..all).collect(), fails), needed.clone());
        }

        #[test]
        fn no_single_one_can_be_left_out_where_some_get_into_each_others_way(count in 1u32..20, seed in any::<u64>()) {
            // It fails, as a flaky thing would, for choices that nobody can predict.
            let fails = |some: &[u32]| {
                let hash = some.iter().fold(seed, |hash, one| (hash ^ u64::from(*one)).wrapping_mul(0x0100_0000_01b3));
                some.len() == count as usize || !some.is_empty() && hash >> 40 & 3 == 0
            };
            let least = least((0..count).collect(), fails);
            prop_assert!(fails(&least));
            for nth in 0..least.len() {
                let mut without = least.clone();
                without.remove(nth);
                prop_assert!(least.len() == 1 || !fails(&without), "{least:?} without its {nth}");
            }
        }
    }
}
