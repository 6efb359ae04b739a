//! The command line of the simulation.

use crate::checks;
use crate::each::{run_each, this_program};
use crate::plan::{Fault, Plan, plan, rare};
use crate::run::{Report, run};
use crate::watchdog;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

mod sweep;

/// A line on stdout. Whoever reads it may have seen enough: a closed pipe is no error.
macro_rules! say {
    ($($text:tt)*) => {
        drop({
            use std::io::Write as _;
            writeln!(std::io::stdout(), $($text)*)
        })
    };
}
use say;

/// Runs seedlog in a simulated world. One seed is one world: its faults, times and bytes.
#[derive(Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const EXIT_CODES: &str = "Exit codes: 0 all checks passed; 1 a check failed; 2 wrong usage or a broken build.";

#[derive(Subcommand)]
enum Task {
    /// One seed, or one plan from a file.
    Run(RunArgs),
    /// Many seeds, each in a process of its own.
    Sweep(SweepArgs),
    /// Determinism: each seed twice, in two processes and in two build modes, must do the same.
    Meta {
        #[arg(long, value_parser = seeds, default_value = "0..10")]
        seeds: Range<u64>,
        /// The other build: a cargo profile.
        #[arg(long, default_value = "dev")]
        other_profile: String,
        /// Puts something into each trace that differs from process to process: this must fail.
        #[arg(long)]
        canary: bool,
        #[command(flatten)]
        size: Size,
    },
    /// The plan of a seed, as TOML for `run --plan`.
    Plan {
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        size: Size,
    },
    /// All kinds of fault, all operations and all checks.
    List,
}

#[derive(Args, Clone, Copy)]
pub struct Size {
    /// How many nodes the clusters have, whatever their seeds choose.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
}

impl Size {
    /// For the command line of a child.
    fn arguments(self) -> Vec<String> {
        self.nodes.map(|nodes| vec!["--nodes".to_owned(), nodes.to_string()]).unwrap_or_default()
    }

    /// The command that runs a seed again.
    fn again(self, seed: u64) -> String {
        let nodes = self.nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
        format!("cargo sim run --seed {seed}{nodes}")
    }
}

#[derive(Args)]
struct RunArgs {
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A plan in TOML, instead of a seed's.
    #[arg(long, conflicts_with_all = ["seed", "nodes"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Prints every event as it happens.
    #[arg(long)]
    trace: bool,
    #[arg(long, hide = true)]
    canary: bool,
    /// The product's own log lines, to stderr: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long)]
    log: Option<String>,
}

#[derive(Args)]
struct SweepArgs {
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
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

const NODES_MAX: u32 = 7;

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = |number: &str| number.parse::<u64>().map_err(|error| format!("{number:?} is no seed: {error}"));
    match text.split_once("..") {
        Some((from, to)) => match (parse(from)?, parse(to)?) {
            (from, to) if from < to => Ok(from..to),
            (from, to) => Err(format!("no seed lies in {from}..{to}")),
        },
        None => Err(format!("{text:?} is no range of seeds: write 0..100")),
    }
}

pub fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Run(args) => one(&args),
        Task::Sweep(args) => sweep::sweep(&args),
        Task::Meta { seeds, other_profile, canary, size } => meta(seeds, &other_profile, canary, size),
        Task::Plan { seed, size } => {
            say!("{}", to_toml(&plan(seed, size.nodes)).trim_end());
            Ok(true)
        }
        Task::List => {
            list();
            Ok(true)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cargo sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn one(args: &RunArgs) -> Result<bool, String> {
    if let Some(filter) = &args.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| format!("--log: {error}"))?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    }
    let (plan, again) = match (&args.plan, args.seed) {
        (Some(file), _) => (read_plan(file)?, format!("cargo sim run --plan {}", file.display())),
        (None, Some(seed)) => (plan(seed, args.size.nodes), args.size.again(seed)),
        (None, None) => return Err("give --seed or --plan".to_owned()),
    };
    watchdog::watch();
    let started = Instant::now();
    let report = run(&plan, args.trace, args.canary);
    match args.output {
        Output::Json => say!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?),
        Output::Text => tell(&report, &plan, &again, started.elapsed().as_secs_f64()),
    }
    Ok(report.violations.is_empty())
}

fn tell(report: &Report, plan: &Plan, again: &str, wall_s: f64) {
    let simulated_s = report.simulated_ns as f64 / 1e9;
    if let Some(first) = report.violations.first() {
        say!("seed {} failed: {}: {}", report.seed, first.check, first.what);
        for more in &report.violations[1..] {
            say!("  also {}: {}", more.check, more.what);
        }
        say!("\n  commit  {}", commit());
        say!("  again   {again}");
        if let Some(at) = first.at_s {
            say!("  at      {at:.6} simulated seconds");
        }
        say!("\n  faults of the plan, for {} nodes:", plan.nodes);
        plan.faults.iter().for_each(|planned| say!("    {planned}"));
        say!("\n  last events:");
        for event in &report.last_events {
            say!("    {event}");
        }
        say!();
    }
    say!(
        "seed {}, {} nodes: {} acked, {} unanswered, {} read; {} events, trace hash {}",
        report.seed,
        report.nodes,
        report.acked_records,
        report.unknown_produces,
        report.read_records,
        report.events,
        report.trace_hash
    );
    say!("{simulated_s:.1} simulated seconds in {wall_s:.2} s: {:.0} a second", simulated_s / wall_s);
    say!("{}", table(&report.fired));
}

fn meta(seeds: Range<u64>, other_profile: &str, canary: bool, size: Size) -> Result<bool, String> {
    let here = this_program().map_err(|error| error.to_string())?;
    let other = build_other(other_profile)?;
    let mut hashes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let canary = canary.then(|| "--canary".to_owned());
    let extra: Vec<String> = size.arguments().into_iter().chain(canary).collect();
    for program in [&here, &here, &other] {
        run_each(program, &extra, seeds.clone(), 2, |result| {
            let (seed, hash) = match result {
                Ok(done) => (done.seed, format!("{} over {} events", done.trace_hash, done.events)),
                Err(broken) => (broken.seed, format!("no report: {}", broken.status)),
            };
            hashes.entry(seed).or_default().push(hash);
            true
        })
        .map_err(|error| error.to_string())?;
    }
    let mut same = true;
    for (seed, hashes) in &hashes {
        if hashes.iter().all(|hash| *hash == hashes[0] && !hash.starts_with("no report")) {
            say!("seed {seed}: {}", hashes[0]);
        } else {
            same = false;
            say!("seed {seed} failed: determinism: twice in this build, then in {other_profile}: {hashes:#?}");
        }
    }
    say!("{} seeds, each twice in this build and once in the profile {other_profile}", hashes.len());
    Ok(same)
}

/// Builds this program in another profile; says where it is.
fn build_other(profile: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--config", "build.rustflags=['--cfg','madsim']", "--target-dir", "target/sim"])
        .args(["--profile", profile, "--package", "seedlog-sim", "--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo build: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .ok_or_else(|| format!("the build in profile {profile} failed"))
}

fn list() {
    say!("faults:");
    Fault::kinds(NODES_MAX).for_each(|kind| say!("  {kind}"));
    say!("what clients do, and what rarely becomes of it:");
    rare(Some(NODES_MAX)).for_each(|what| say!("  {what}"));
    say!("checks:");
    checks::ALL.iter().for_each(|(name, _)| say!("  {name}"));
    say!("  determinism (cargo sim meta)");
}

fn read_plan(file: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn to_toml(plan: &Plan) -> String {
    toml::to_string(plan).expect("a plan is plain data")
}

/// What happened, and how often, three to a line.
fn table(fired: &BTreeMap<String, u64>) -> String {
    let cells: Vec<String> = fired.iter().map(|(what, times)| format!("{what:<22} {times:>6}")).collect();
    cells.chunks(3).map(|row| format!("  {}", row.join("   "))).collect::<Vec<_>>().join("\n")
}

fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
