//! Many seeds, and what became of them all together.

use super::{Output, Size, artefact, coverage, failure, jobs, say, seeds, table};
use crate::each::{Broken, failed_check, run_each, this_program};
use crate::run::Report;
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct SweepArgs {
    /// From, up to and not including.
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    size: Size,
    /// Processes at a time; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
    #[arg(long)]
    stop_at_first: bool,
    /// Where each failure is kept, as a plan for `run --plan`.
    #[arg(long, value_name = "DIR", default_value = "target/sim/failures")]
    keep: PathBuf,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The same as --output json: one object, on stdout.
    #[arg(long)]
    json: bool,
}

/// What has been seen so far.
#[derive(Default)]
struct Sums {
    done: u64,
    simulated_ns: u64,
    acked: u64,
    fired: BTreeMap<String, u64>,
    /// Seeds by the check that failed first in them.
    failed: BTreeMap<String, Vec<u64>>,
    /// Files.
    kept: Vec<PathBuf>,
}

impl Sums {
    fn add(&mut self, seed: u64, result: &Result<Report, Broken>) {
        self.done += 1;
        if let Some(check) = failed_check(result) {
            self.failed.entry(check).or_default().push(seed);
        }
        let Ok(report) = result else { return };
        self.simulated_ns += report.simulated_ns;
        self.acked += report.acked_records;
        for (what, times) in &report.fired {
            *self.fired.entry(what.clone()).or_default() += times;
        }
    }

    fn failures(&self) -> usize {
        self.failed.values().flatten().collect::<BTreeSet<_>>().len()
    }
}

pub fn sweep(args: &SweepArgs) -> Result<bool, String> {
    let json = args.json || args.output == Output::Json;
    let started = Instant::now();
    let mut sums = Sums::default();
    let mut trouble = None;
    let bar = bar(args.seeds.end - args.seeds.start);
    let program = this_program().map_err(|error| error.to_string())?;
    run_each(&program, &args.size.arguments(), args.seeds.clone(), jobs(args.jobs), |result| {
        let seed = result.as_ref().map_or_else(|broken| broken.seed, |report| report.seed);
        sums.add(seed, &result);
        let failed = artefact::failure(&result);
        if let Some(failure) = &failed {
            let plan = args.size.plan(seed);
            match artefact::keep(&args.keep, &plan, failure.clone()) {
                Ok(file) => sums.kept.push(file),
                Err(error) => trouble = Some(error),
            }
            if !json {
                bar.suspend(|| tell(&result, seed, args.size, sums.kept.last()));
            }
        }
        show(&bar, &sums, started);
        (failed.is_none() || !args.stop_at_first) && trouble.is_none()
    })
    .map_err(|error| error.to_string())?;
    bar.finish_and_clear();
    if let Some(error) = trouble {
        return Err(error);
    }
    let uncovered = coverage::failure(&sums.fired, args.size, sums.done);
    let wall_s = started.elapsed().as_secs_f64();
    if json {
        say!("{}", summary(&sums, args, uncovered.as_deref(), wall_s));
    } else {
        tell_all(&sums, args, uncovered.as_deref(), wall_s);
    }
    Ok(sums.failed.is_empty() && uncovered.is_none())
}

fn tell(result: &Result<Report, Broken>, seed: u64, size: Size, kept: Option<&PathBuf>) {
    let (plan, again) = (size.plan(seed), size.again(seed));
    match result {
        Ok(report) => failure::tell(report, &plan, &again),
        Err(broken) => failure::tell_broken(broken, &plan, &again),
    }
    if let Some(kept) = kept {
        say!("  kept in {}, for cargo sim run --plan, shrink --plan, and elsewhere at this commit\n", kept.display());
    }
}

fn summary(sums: &Sums, args: &SweepArgs, uncovered: Option<&str>, wall_s: f64) -> serde_json::Value {
    serde_json::json!({
        "commit": super::commit(),
        "from": args.seeds.start,
        "seeds": sums.done,
        "failed": sums.failed,
        "kept": sums.kept,
        "fired": sums.fired,
        "never_fired": coverage::missing(&sums.fired, args.size, sums.done),
        "uncovered": uncovered,
        "simulated_s": sums.simulated_ns as f64 / 1e9,
        "wall_s": wall_s,
        "seeds_per_minute": sums.done as f64 / wall_s * 60.0,
        "acked_records": sums.acked,
    })
}

fn tell_all(sums: &Sums, args: &SweepArgs, uncovered: Option<&str>, wall_s: f64) {
    say!("{}", table(&sums.fired));
    for (check, seeds) in &sums.failed {
        say!("{check}: {} seeds failed: {seeds:?}", seeds.len());
    }
    if let Some(what) = uncovered {
        say!("{what}");
    }
    let simulated_s = sums.simulated_ns as f64 / 1e9;
    say!(
        "{} seeds ({}..{}), {} failed, {} records acked; {simulated_s:.0} simulated seconds in {wall_s:.0} s: {:.0} a second, {:.0} seeds a minute",
        sums.done,
        args.seeds.start,
        args.seeds.end,
        sums.failures(),
        sums.acked,
        simulated_s / wall_s,
        sums.done as f64 / wall_s * 60.0,
    );
}

/// On a terminal only, and to stderr.
fn bar(seeds: u64) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {msg}, {eta} left");
    indicatif::ProgressBar::new(seeds).with_style(style.expect("a template"))
}

fn show(bar: &indicatif::ProgressBar, sums: &Sums, started: Instant) {
    let rate = sums.done as f64 / started.elapsed().as_secs_f64() * 60.0;
    let simulated_s = sums.simulated_ns as f64 / 1e9;
    let failures: Vec<String> = sums.failed.iter().map(|(check, seeds)| format!("{check}: {}", seeds.len())).collect();
    let failures = if failures.is_empty() { "0".to_owned() } else { failures.join(", ") };
    bar.set_message(format!("{rate:.0} a minute, {simulated_s:.0} simulated s, failed {failures}"));
    bar.inc(1);
}
