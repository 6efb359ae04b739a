//! A failing seed, made small: many runs, each in a process of its own.

use super::{Size, artefact, failure, jobs, read_plan, say, to_toml, write};
use crate::each::{Broken, failed_check, run_plan, run_plans, this_program};
use crate::plan::{Plan, Workload};
use crate::run::Report;
use crate::shrink::{Trial, shrink as shrink_plan};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args)]
pub struct ShrinkArgs {
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A plan in TOML, instead of a seed's.
    #[arg(long, conflicts_with_all = ["seed", "nodes", "mirror"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
    /// Where the smallest plan goes; by default shrunk-SEED.toml, here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Processes at a time; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
    /// So many runs at most.
    #[arg(long, default_value_t = 1_000, value_name = "RUNS")]
    budget: u64,
}

pub fn shrink(args: &ShrinkArgs) -> Result<bool, String> {
    let before = match (&args.plan, args.seed) {
        (Some(file), _) => read_plan(file)?,
        (None, Some(seed)) => args.size.plan(seed),
        (None, None) => return Err("give --seed or --plan".to_owned()),
    };
    let program = this_program().map_err(|error| error.to_string())?;
    let out = args.out.clone().unwrap_or_else(|| format!("shrunk-{}.toml", before.seed).into());
    let Some(shrunk) = shrink_with(&program, &before, jobs(args.jobs), args.budget, true)? else {
        return Err(format!("a run of seed {} fails no check: there is nothing to shrink", before.seed));
    };
    let again = format!("cargo sim run --plan {}", out.display());
    let Shrunk { plan, last, first, check, runs, wall_s, spent } = shrunk;
    let failure = artefact::failure(&last);
    write(&out, &to_toml(&Plan { failure, ..plan.clone() }))?;
    match &last {
        Ok(report) => failure::tell(report, &plan, &again),
        Err(broken) => failure::tell_broken(broken, &plan, &again),
    }
    say!("{check} fails still, after {runs} runs in {wall_s:.0} s:");
    for (what, before, after) in sizes(&before, &first)
        .into_iter()
        .zip(sizes(&plan, &last))
        .map(|((what, before), (_, after))| (what, before, after))
    {
        say!("  {what:<18} {before:>8} -> {after}");
    }
    if spent {
        say!("it may get smaller yet: the budget of {} runs is spent", args.budget);
    }
    say!("written to {}", out.display());
    Ok(true)
}

/// What came of it.
pub struct Shrunk {
    pub plan: Plan,
    pub check: String,
    /// The run of the plan that it started from, and that of the smallest.
    pub first: Result<Report, Broken>,
    pub last: Result<Report, Broken>,
    pub runs: u64,
    pub wall_s: f64,
    /// It ended for its budget.
    pub spent: bool,
}

/// `None`: the plan fails no check.
///
/// # Errors
/// If no process or file can be made.
pub fn shrink_with(
    program: &Path,
    before: &Plan,
    jobs: usize,
    budget: u64,
    progress: bool,
) -> Result<Option<Shrunk>, String> {
    let started = Instant::now();
    let before = &Plan { failure: None, ..before.clone() };
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut processes = Processes {
        program,
        directory: directory.path(),
        check: String::new(),
        jobs,
        left: budget,
        runs: 1,
        bar: bar(budget, progress),
    };
    let first = processes.run(before)?;
    let Some(check) = failed_check(&first) else { return Ok(None) };
    processes.check.clone_from(&check);
    let plan = shrink_plan(before, &mut processes)?;
    let last = processes.run(&plan)?;
    processes.bar.finish_and_clear();
    let (runs, spent) = (processes.runs, processes.left == 0);
    Ok(Some(Shrunk { plan, check, first, last, runs, wall_s: started.elapsed().as_secs_f64(), spent }))
}

/// Runs plans in processes, and knows which check is meant.
struct Processes<'a> {
    program: &'a Path,
    directory: &'a Path,
    check: String,
    jobs: usize,
    left: u64,
    runs: u64,
    bar: indicatif::ProgressBar,
}

impl Processes<'_> {
    fn write(&self, nth: usize, plan: &Plan) -> Result<PathBuf, String> {
        let file = self.directory.join(format!("{nth}.toml"));
        write(&file, &to_toml(plan))?;
        Ok(file)
    }

    fn run(&self, plan: &Plan) -> Result<Result<Report, Broken>, String> {
        run_plan(self.program, &self.write(0, plan)?).map_err(|error| error.to_string())
    }
}

impl Trial for Processes<'_> {
    type Error = String;

    fn first_failing(&mut self, plans: &[Plan]) -> Result<Option<usize>, String> {
        let tried = plans.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let each = plans[..tried].iter().enumerate();
        let files = each.map(|(nth, plan)| self.write(nth, plan)).collect::<Result<Vec<_>, _>>()?;
        let (mut runs, mut failing) = (0, None);
        run_plans(self.program, &files, self.jobs, |result| {
            if failed_check(&result).as_ref() == Some(&self.check) {
                failing = Some(runs);
            }
            runs += 1;
            failing.is_none()
        })
        .map_err(|error| error.to_string())?;
        self.runs += runs as u64;
        self.left -= runs as u64;
        if let Some(smaller) = failing.map(|nth| &plans[nth]) {
            self.bar.set_message(format!(
                "{} faults, {} nodes, {} ms",
                smaller.faults.len(),
                smaller.nodes,
                smaller.trouble_ms
            ));
        }
        self.bar.inc(runs as u64);
        Ok(failing)
    }
}

fn bar(budget: u64, progress: bool) -> indicatif::ProgressBar {
    if !progress {
        return indicatif::ProgressBar::hidden();
    }
    // On a terminal only, and to stderr.
    let style = indicatif::ProgressStyle::with_template("{pos} of at most {len} runs: {msg}");
    indicatif::ProgressBar::new(budget).with_style(style.expect("a template"))
}

fn sizes(plan: &Plan, result: &Result<Report, Broken>) -> Vec<(&'static str, String)> {
    let Workload { producers, exactly_once, appenders, fencers, askers, consumers, .. } = plan.workload;
    let Workload { cluster_producers, cluster_consumers, .. } = plan.workload;
    let clients =
        producers + exactly_once + appenders + fencers + askers + consumers + cluster_producers + cluster_consumers;
    let seconds = |ms: u64| format!("{:.3}", ms as f64 / 1e3);
    let of_the_run = |what: fn(&Report) -> String| result.as_ref().map_or("-".to_owned(), what);
    vec![
        ("faults", plan.faults.len().to_string()),
        ("nodes", plan.nodes.to_string()),
        ("clients", clients.to_string()),
        ("trouble, s", seconds(plan.trouble_ms)),
        ("simulated, s", of_the_run(|report| format!("{:.3}", report.simulated_ns as f64 / 1e9))),
        ("records acked", of_the_run(|report| report.acked_records.to_string())),
        ("events", of_the_run(|report| report.events.to_string())),
    ]
}
