//! What is aimed at, beside peers: ratios of figures of the same round.

use super::place::{Point, What};
use super::{Round, SIZES, size_label};
use crate::aims::{Aim, Wanted};
use crate::figures::Figures;

pub fn of_rounds(rounds: &[Round]) -> Vec<Aim> {
    SIZES.iter().flat_map(|size| of_size(rounds, *size)).collect()
}

fn of_size(rounds: &[Round], size: u32) -> Vec<Aim> {
    let ratio = |ours: What, theirs: What, in_flight: Option<u32>, value: &dyn Fn(&Figures) -> f64| {
        let of = |round: &Round, what| round.get(&Point { size, what, in_flight }).map(value);
        rounds.iter().filter_map(|round| Some(of(round, ours)? / of(round, theirs)?)).collect::<Vec<f64>>()
    };
    let rate = |figures: &Figures| figures.records_per_s;
    let aim = |what: &str, wanted, values| Aim { what: format!("{}: {what}", size_label(size)), wanted, values };
    let rates = |what: &str, wanted, ours, theirs, in_flight| aim(what, wanted, ratio(ours, theirs, in_flight, &rate));
    use What::{Etcd, NatsR3, NatsR3Synced, NatsTailR1, NatsTailR3, Redis, RedisTail};
    use What::{SeedlogStream, SeedlogTail, SeedlogUnary};
    let tail = if size < 1024 { 2.0 } else { 1.2 };
    let p50 = ratio(SeedlogUnary, Etcd, Some(1), &|figures| figures.p50_us);
    vec![
        aim("p50 of a unary call, 1 in flight, against etcd's put", Wanted::AtMost(0.8), p50),
        rates("unary, 64 in flight, against etcd", Wanted::AtLeast(3.0), SeedlogUnary, Etcd, Some(64)),
        rates("stream, 64 in flight, against etcd", Wanted::AtLeast(7.0), SeedlogStream, Etcd, Some(64)),
        rates("stream, 64, against NATS R3, nothing synced", Wanted::AtLeast(1.5), SeedlogStream, NatsR3, Some(64)),
        rates("stream, 256 in flight, against etcd", Wanted::AtLeast(10.0), SeedlogStream, Etcd, Some(256)),
        rates("a tail against NATS R3's push consumer", Wanted::AtLeast(tail), SeedlogTail, NatsTailR3, None),
        rates("a tail against NATS R1's push consumer", Wanted::AtLeast(tail), SeedlogTail, NatsTailR1, None),
        rates("unary, 256 in flight, against etcd", Wanted::Nothing, SeedlogUnary, Etcd, Some(256)),
        rates("stream, 256, against NATS R3, nothing synced", Wanted::Nothing, SeedlogStream, NatsR3, Some(256)),
        rates("stream, 64, against NATS R3, synced", Wanted::Nothing, SeedlogStream, NatsR3Synced, Some(64)),
        rates("stream, 64, against one Redis", Wanted::Nothing, SeedlogStream, Redis, Some(64)),
        rates("a tail against Redis's XREAD", Wanted::Nothing, SeedlogTail, RedisTail, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_one_round_and_one_size() {
        let rate = |records_per_s| Figures { records_per_s, ..Figures::default() };
        let point = |size, what| Point { size, what, in_flight: Some(64) };
        let round = Round::from([
            (point(100, What::SeedlogStream), rate(80.0)),
            (point(100, What::Etcd), rate(10.0)),
            (point(1024, What::SeedlogStream), rate(30.0)),
            (point(1024, What::Etcd), rate(10.0)),
        ]);
        let aims = of_rounds(&[round]);
        let found = |what: &str| aims.iter().find(|aim| aim.what == what).unwrap();
        assert_eq!(found("100 B: stream, 64 in flight, against etcd").values, [8.0]);
        assert!(!found("1 KiB: stream, 64 in flight, against etcd").is_met());
        assert!(found("1 KiB: unary, 64 in flight, against etcd").values.is_empty());
    }
}
