//! What is aimed at. Each is a ratio of figures of the same round, or a plain figure; its median decides.

use crate::figures::Figures;
use crate::rounds::{Point, Round};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aim {
    pub what: String,
    pub wanted: Wanted,
    /// One of each round; empty: not measured.
    pub values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    AtMost(f64),
    AtLeast(f64),
    /// For the reader: what the machine leaves to be had.
    Nothing,
}

impl Aim {
    /// What was not measured is not missed.
    pub fn is_met(&self) -> bool {
        let Some(Spread { median, .. }) = Spread::of(&self.values) else { return true };
        match self.wanted {
            Wanted::AtMost(most) => median <= most,
            Wanted::AtLeast(least) => median >= least,
            Wanted::Nothing => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => return None,
            odd if odd % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Some(Spread { median, min: sorted[0], max: *sorted.last()? })
    }
}

/// Nothing where nothing was measured.
pub fn of_rounds(rounds: &[Round]) -> Vec<Aim> {
    if rounds.is_empty() {
        return Vec::new();
    }
    let each = |value: &dyn Fn(&Round) -> Option<f64>| rounds.iter().filter_map(value).collect::<Vec<_>>();
    let rates =
        |of: Point, to: Point| each(&|round| Some(round.get(&of)?.records_per_s / round.get(&to)?.records_per_s));
    let p50 = |round: &Round, point| round.get(&point).map(|figures: &Figures| figures.p50_us);
    vec![
        Aim {
            what: "p50 at 1 in flight, against echo's p50 and one fdatasync (pre-written) together".to_owned(),
            wanted: Wanted::AtMost(1.5),
            values: each(&|round| {
                let ceiling = p50(round, Point::EchoUnary1)? + p50(round, Point::SyncPrewritten)?;
                Some(p50(round, Point::SeedlogUnary1)? / ceiling)
            }),
        },
        Aim {
            what: "unary rate at 64 in flight, against echo's".to_owned(),
            wanted: Wanted::AtLeast(0.5),
            values: rates(Point::SeedlogUnary64, Point::EchoUnary64),
        },
        Aim {
            what: "stream rate at 64 in flight, against Redis's".to_owned(),
            wanted: Wanted::AtLeast(1.0),
            values: rates(Point::SeedlogStream64, Point::Redis64),
        },
        Aim {
            what: "batches of 64 records, MB/s".to_owned(),
            wanted: Wanted::AtLeast(200.0),
            values: each(&|round| Some(round.get(&Point::SeedlogBatch)?.mb_per_s)),
        },
        Aim {
            what: "the same, against writing and syncing as many bytes at once and nothing else".to_owned(),
            wanted: Wanted::Nothing,
            values: each(&|round| {
                Some(round.get(&Point::SeedlogBatch)?.mb_per_s / round.get(&Point::SyncBatches)?.mb_per_s)
            }),
        },
        Aim {
            what: "consume rate, against a server stream of the same messages".to_owned(),
            wanted: Wanted::AtLeast(0.5),
            values: rates(Point::SeedlogConsume, Point::EchoConsume),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides_and_what_was_not_measured_is_not_missed() {
        let aim = |wanted, values: &[f64]| Aim { what: String::new(), wanted, values: values.to_vec() }.is_met();
        assert!(aim(Wanted::AtLeast(2.0), &[9.0, 1.0, 2.0]));
        assert!(!aim(Wanted::AtLeast(2.1), &[9.0, 1.0, 2.0]));
        assert!(aim(Wanted::AtMost(1.5), &[1.0, 2.0]));
        assert!(!aim(Wanted::AtMost(1.4), &[1.0, 2.0]));
        assert!(aim(Wanted::AtMost(0.0), &[]));
    }

    #[test]
    fn a_ratio_is_of_two_figures_of_the_same_round() {
        let rate = |records_per_s| Figures { records_per_s, ..Figures::default() };
        let round =
            |seedlog, echo| Round::from([(Point::SeedlogUnary64, rate(seedlog)), (Point::EchoUnary64, rate(echo))]);
        let aims = of_rounds(&[round(10.0, 20.0), round(30.0, 120.0)]);
        let unary = aims.iter().find(|aim| aim.what.starts_with("unary rate")).unwrap();
        assert_eq!(unary.values, [0.5, 0.25]);
        let without_redis = aims.iter().find(|aim| aim.what.contains("Redis")).unwrap();
        assert!(without_redis.values.is_empty() && without_redis.is_met());
    }
}
