//! The figures as Markdown: medians of all rounds, and in brackets the least and the most.

use crate::aims::{Aim, Spread, Wanted};
use crate::args::Run;
use crate::figures::Figures;
use crate::large::Large;
use crate::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

pub fn machine(machine: &Machine, args: &Run) -> String {
    let Machine { cpu, cpus, kernel, file_system, seedlog, redis, load } = machine;
    let redis = match redis {
        Some(version) => format!("Redis {version}"),
        None => "Redis left out: no redis-server in PATH (Debian: apt-get install redis-server)".to_owned(),
    };
    format!(
        "{cpu}, {cpus} processors; Linux {kernel}; {file_system}; load {} before, {} after\n\
         seedlog {seedlog}; {redis}\n\
         {} rounds of {} s each, records of {} bytes; medians, in brackets least and most\n\n",
        load[0],
        load[1],
        args.rounds,
        args.seconds.as_secs_f64(),
        args.size,
    )
}

/// A row for each that was measured at all, in their order.
pub fn points<P: Ord>(rounds: &[BTreeMap<P, Figures>], label: impl Fn(&P) -> String) -> String {
    let mut out = String::from(
        "| | records/s | MB/s | p50 us | p99 us | p99.9 us | server CPU us/record |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let measured: BTreeSet<&P> = rounds.iter().flat_map(BTreeMap::keys).collect();
    for point in measured {
        let all: Vec<&Figures> = rounds.iter().filter_map(|round| round.get(point)).collect();
        let _ = writeln!(out, "| {} | {} |", label(point), row(&all));
    }
    out + "\n"
}

fn row(all: &[&Figures]) -> String {
    let column = |value: &dyn Fn(&Figures) -> Option<f64>, spread: bool| {
        let values: Vec<f64> = all.iter().filter_map(|figures| value(figures)).collect();
        match Spread::of(&values) {
            None => "-".to_owned(),
            Some(found) if spread => with_spread(found),
            Some(found) => number(found.median),
        }
    };
    [
        column(&|figures| Some(figures.records_per_s), true),
        column(&|figures| Some(figures.mb_per_s), false),
        column(&|figures| Some(figures.p50_us), true),
        column(&|figures| Some(figures.p99_us), false),
        column(&|figures| Some(figures.p99_9_us), false),
        column(&|figures| figures.server_cpu_us, false),
    ]
    .join(" | ")
}

pub fn large(large: &Large) -> String {
    let mut out = format!("| a log of {:.1} GB | median (least..most) |\n|---|--:|\n", large.bytes as f64 / 1e9);
    for (what, values) in [
        ("opened, not in the page cache, s", &large.opened_cold),
        ("opened, in the page cache, s", &large.opened_warm),
        ("opened after kill -9, in the page cache, s", &large.opened_after_kill),
        ("for comparison: a log of 0.1 GB opened, in the page cache, s", &large.opened_small),
    ] {
        let _ = writeln!(out, "| {what} | {} |", Spread::of(values).map_or("-".to_owned(), with_spread));
    }
    let append = |value: &dyn Fn(&crate::large::Appends) -> f64| {
        let values: Vec<f64> = large.appends.iter().map(value).collect();
        Spread::of(&values).map_or("-".to_owned(), with_spread)
    };
    let _ = writeln!(out, "| append p50 at 1 in flight, us | {} |", append(&|round| round.large_1.p50_us));
    let _ = writeln!(out, "| the same at 0.1 GB, us | {} |", append(&|round| round.small_1.p50_us));
    let _ = writeln!(out, "| stream at 64 in flight, records/s | {} |", append(&|round| round.large_64.records_per_s));
    let _ = writeln!(out, "| the same at 0.1 GB, records/s | {} |", append(&|round| round.small_64.records_per_s));
    out + "\n"
}

pub fn aims(aims: &[Aim]) -> String {
    let mut out = String::from("| aim | wanted | measured | |\n|---|--:|--:|---|\n");
    for aim in aims {
        let wanted = match aim.wanted {
            Wanted::AtMost(most) => format!("<= {most}"),
            Wanted::AtLeast(least) => format!(">= {least}"),
            Wanted::Nothing => "-".to_owned(),
        };
        let (measured, verdict) = match Spread::of(&aim.values) {
            None => ("-".to_owned(), "not measured"),
            Some(spread) if aim.wanted == Wanted::Nothing => (with_spread(spread), ""),
            Some(spread) => (with_spread(spread), if aim.is_met() { "met" } else { "MISSED" }),
        };
        let _ = writeln!(out, "| {} | {wanted} | {measured} | {verdict} |", aim.what);
    }
    out
}

fn with_spread(spread: Spread) -> String {
    format!("{} ({}..{})", number(spread.median), number(spread.min), number(spread.max))
}

/// Three digits, or all before the point.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_shows_what_was_wanted_what_was_measured_and_whether_it_is_met() {
        let aim = |wanted, values: &[f64]| Aim { what: "rate".to_owned(), wanted, values: values.to_vec() };
        let shown = aims(&[
            aim(Wanted::AtLeast(0.5), &[0.7, 0.4, 0.6]),
            aim(Wanted::AtMost(1.0), &[12.3]),
            aim(Wanted::AtLeast(1.0), &[]),
        ]);
        let rows: Vec<&str> = shown.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| rate | >= 0.5 | 0.60 (0.40..0.70) | met |",
                "| rate | <= 1 | 12.3 (12.3..12.3) | MISSED |",
                "| rate | >= 1 | - | not measured |",
            ]
        );
    }

    #[test]
    fn a_row_holds_medians_and_the_spread_of_rate_and_p50() {
        let figures = |records_per_s, p50_us| Figures { records_per_s, p50_us, ..Figures::default() };
        let (one, other) = (figures(100.0, 7.0), figures(200.0, 8.0));
        assert_eq!(row(&[&one, &other]), "150 (100..200) | 0.00 | 7.50 (7.00..8.00) | 0.00 | 0.00 | -");
    }
}
