use super::world::{keyed_rng, number, with, with_node};
use madsim::plugin;
use rand::RngExt;
use std::collections::BTreeMap;

/// Which points of [`crate::buggify`] are switched on in this world.
#[derive(Default)]
pub struct Buggify {
    chances: BTreeMap<String, f64>,
    fired: BTreeMap<&'static str, u64>,
}

/// From now on the point does each time with this chance what it seldom does.
pub fn set_buggify(point: &str, probability: f64) {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    with(|world| world.buggify.chances.insert(point.to_owned(), probability));
}

/// How often each point did.
pub fn buggify_fired() -> BTreeMap<&'static str, u64> {
    with(|world| world.buggify.fired.clone())
}

/// Draws nothing where the point is not switched on, and needs no world there.
pub fn buggified(point: &'static str) -> bool {
    let Some(probability) = with(|world| world.buggify.chances.get(point).copied()) else { return false };
    let node = plugin::node();
    let rng = with_node(node, |state| state.buggify_rngs.remove(point));
    let key = || keyed_rng(&["node".into(), number(node).into(), "buggify".into(), point.into()]);
    let mut rng = rng.unwrap_or_else(key);
    let happens = rng.random_bool(probability);
    with_node(node, |state| state.buggify_rngs.insert(point, rng));
    if happens {
        with(|world| *world.buggify.fired.entry(point).or_default() += 1);
    }
    happens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buggify;
    use crate::sim::set_seed;

    fn asked() -> Vec<bool> {
        (0..100).map(|_| buggify!("small_batch")).collect()
    }

    #[test]
    fn a_point_that_is_not_switched_on_needs_no_world() {
        set_seed(7);
        assert!(!buggify!("small_batch"));
    }

    #[tokio::test]
    async fn one_point_more_leaves_the_others_as_they_were_and_each_is_counted() {
        set_seed(7);
        set_buggify("small_batch", 0.3);
        let alone = asked();
        let times = alone.iter().filter(|happens| **happens).count();
        assert!((10..60).contains(&times), "{times}");
        assert_eq!(buggify_fired(), BTreeMap::from([("small_batch", times as u64)]));
        set_seed(7);
        set_buggify("small_batch", 0.3);
        set_buggify("early_seal", 1.0);
        assert!(buggify!("early_seal"));
        assert_eq!(asked(), alone);
    }
}
