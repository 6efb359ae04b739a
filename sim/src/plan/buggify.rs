//! Which of the product's points do what is rare and legal, and how often.

use rand::RngExt as _;
use seedlog_runtime::buggify::{POINTS, Point};
use seedlog_runtime::rng::keyed;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buggified {
    pub point: String,
    /// Of 1,000 times.
    pub per_mille: u32,
}

/// The points that a sweep of clusters of up to so many nodes comes to.
pub fn points(nodes: u32) -> impl Iterator<Item = &'static str> {
    of(nodes).map(|point| point.name)
}

fn of(nodes: u32) -> impl Iterator<Item = &'static Point> {
    POINTS.iter().filter(move |point| nodes > 1 || !point.needs_several)
}

/// By swarm, each from a stream of its own.
pub(super) fn draw(seed: u64, nodes: u32) -> Vec<Buggified> {
    let drawn = of(nodes).filter_map(|Point { name, per_mille_max, .. }| {
        let mut rng = keyed(seed, &["plan".into(), "buggify".into(), (*name).into()]);
        let is_on = rng.random_bool(0.3);
        let share = [64, 16, 4, 1][rng.random_range(0..4usize)];
        is_on.then(|| Buggified { point: (*name).to_owned(), per_mille: (per_mille_max / share).max(1) })
    });
    drawn.collect()
}
