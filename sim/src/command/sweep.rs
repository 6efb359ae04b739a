//! Many seeds, and what became of them all together.

use super::{Output, Size, SweepArgs, commit, say, table};
use crate::each::{run_each, this_program};
use crate::plan;
use crate::run::Report;
use std::collections::BTreeMap;
use std::time::Instant;

/// Below this many seeds a kind of fault may fail to happen by chance.
const COVERAGE_SEEDS_MIN: u64 = 100;

pub fn sweep(args: &SweepArgs) -> Result<bool, String> {
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (started, total) = (Instant::now(), args.seeds.end - args.seeds.start);
    let mut fired: BTreeMap<String, u64> = BTreeMap::new();
    let mut failed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let (mut simulated_ns, mut done, mut acked) = (0u64, 0u64, 0u64);
    let progress = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let program = this_program().map_err(|error| error.to_string())?;
    run_each(&program, &args.size.arguments(), args.seeds.clone(), jobs, |result| {
        done += 1;
        let sound = match result {
            Ok(report) => {
                simulated_ns += report.simulated_ns;
                acked += report.acked_records;
                for (what, times) in &report.fired {
                    *fired.entry(what.clone()).or_default() += times;
                }
                for violation in &report.violations {
                    failed.entry(violation.check.clone()).or_default().push(report.seed);
                }
                if args.output == Output::Text {
                    tell_failure(&report, args.size);
                }
                report.violations.is_empty()
            }
            Err(broken) => {
                let (seed, status) = (broken.seed, broken.status);
                let last: Vec<&str> = broken.stderr.lines().rev().take(12).collect();
                if args.output == Output::Text {
                    say!("seed {seed} failed: no report: {status}");
                    say!("  again: {}   (commit {})", args.size.again(seed), commit());
                    last.iter().rev().for_each(|line| say!("    {line}"));
                }
                failed.entry("panic".to_owned()).or_default().push(seed);
                false
            }
        };
        if progress {
            let rate = done as f64 / started.elapsed().as_secs_f64() * 60.0;
            eprint!(
                "\r{done} of {total} seeds, {rate:.0} a minute, {} failed ",
                failed.values().map(Vec::len).sum::<usize>()
            );
        }
        sound || !args.stop_at_first
    })
    .map_err(|error| error.to_string())?;
    if progress {
        eprintln!();
    }
    let (wall_s, simulated_s) = (started.elapsed().as_secs_f64(), simulated_ns as f64 / 1e9);
    let wanted = plan::kinds(args.size.nodes).chain(plan::rare(args.size.nodes));
    let missing: Vec<&str> = wanted.filter(|kind| !fired.contains_key(*kind)).collect();
    let covered = missing.is_empty() || done < COVERAGE_SEEDS_MIN;
    if args.output == Output::Json {
        let summary = serde_json::json!({
            "seeds": done, "failed": failed, "fired": fired, "never_fired": missing,
            "simulated_s": simulated_s, "wall_s": wall_s, "acked_records": acked,
        });
        say!("{summary}");
    } else {
        say!("{}", table(&fired));
        for (check, seeds) in &failed {
            say!("{check}: {} seeds failed: {seeds:?}", seeds.len());
        }
        if !covered {
            say!("never happened in {done} seeds, although enabled: {missing:?}");
        }
        say!(
            "{done} seeds ({}..{}), {} failed, {acked} records acked; {simulated_s:.0} simulated seconds in {wall_s:.0} s: {:.0} a second",
            args.seeds.start,
            args.seeds.end,
            failed.values().flatten().collect::<std::collections::BTreeSet<_>>().len(),
            simulated_s / wall_s
        );
    }
    Ok(failed.is_empty() && covered)
}

fn tell_failure(report: &Report, size: Size) {
    let Some(first) = report.violations.first() else { return };
    say!("seed {} failed: {}: {}", report.seed, first.check, first.what);
    say!("  again: {}   (commit {})", size.again(report.seed), commit());
}
