//! The command line of the simulation.

use crate::checks;
use crate::plan::{Fault, Plan, plan, rare, rarer};
use clap::{Args, Parser, Subcommand, ValueEnum};
use seedlog_runtime::buggify::POINTS;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, ExitCode};

mod artefact;
mod bugs;
mod build;
mod coverage;
mod failure;
mod meta;
mod one;
mod shrink;
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

const EXIT_CODES: &str = "\
Exit codes:
  0  all checks passed (shrink: a smaller plan, or none, was found; bugs: all were caught)
  1  a check failed, something declared never happened, or a run died (bugs: one was not caught)
  2  wrong usage, a file that cannot be read or written, or a broken build";

#[derive(Subcommand)]
enum Task {
    /// One seed, or one plan from a file.
    Run(one::RunArgs),
    /// Many seeds, each in a process of its own.
    Sweep(sweep::SweepArgs),
    /// Takes from a failing seed what it does not need: faults, nodes, operations, time.
    Shrink(shrink::ShrinkArgs),
    /// Planted bugs: each is built into a copy of the tree and hunted; sim/bugs/MATRIX.md is written.
    Bugs(bugs::BugsArgs),
    /// Determinism: each seed twice, in two processes and in two build modes, must do the same.
    Meta(meta::MetaArgs),
    /// The plan of a seed, as TOML for `run --plan`.
    Plan {
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        size: Size,
    },
    /// All kinds of fault, all operations, all scenarios and all checks.
    List,
}

#[derive(Args, Clone, Copy)]
pub struct Size {
    /// How many nodes the clusters have, whatever their seeds choose.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
    /// Each log is mirrored into a second cluster.
    #[arg(long)]
    mirror: bool,
}

impl Size {
    fn plan(self, seed: u64) -> Plan {
        plan(seed, self.nodes, self.mirror)
    }

    /// For the command line of a child.
    fn arguments(self) -> Vec<String> {
        let nodes = self.nodes.map(|nodes| ["--nodes".to_owned(), nodes.to_string()]);
        let mirror = self.mirror.then(|| "--mirror".to_owned());
        nodes.into_iter().flatten().chain(mirror).collect()
    }

    /// The command that runs a seed again.
    fn again(self, seed: u64) -> String {
        let arguments: Vec<String> = self.arguments().iter().map(|argument| format!(" {argument}")).collect();
        format!("cargo sim run --seed {seed}{}", arguments.concat())
    }
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
        Task::Run(args) => one::one(&args),
        Task::Sweep(args) => sweep::sweep(&args),
        Task::Shrink(args) => shrink::shrink(&args),
        Task::Bugs(args) => bugs::bugs(&args),
        Task::Meta(args) => meta::meta(&args),
        Task::Plan { seed, size } => {
            say!("{}", to_toml(&size.plan(seed)).trim_end());
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

fn list() {
    say!("faults:");
    Fault::kinds(NODES_MAX).for_each(|kind| say!("  {kind}"));
    say!("what clients do, and what rarely becomes of it:");
    let is_point = |what: &str| POINTS.iter().any(|point| point.name == what);
    let rare_cells = rare(Some(NODES_MAX), false).chain(rarer(Some(NODES_MAX), false));
    rare_cells.filter(|what| !is_point(what)).for_each(|what| say!("  {what}"));
    say!("rare but legal behaviour of the product, switched on by some seeds:");
    POINTS.iter().for_each(|point| say!("  {:<20} {}", point.name, point.what));
    say!("the same, with --mirror:");
    rare(Some(NODES_MAX), true).filter(|what| what.starts_with("mirror")).for_each(|what| say!("  {what}"));
    say!("scenarios:");
    scenarios().iter().for_each(|name| say!("  {name}"));
    say!("checks:");
    checks::ALL.iter().for_each(|(name, _)| say!("  {name}"));
    say!("  determinism (cargo sim meta)");
}

/// Names of the plans that are kept for their situations; none where the sources are not.
fn scenarios() -> Vec<String> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).into_iter().flatten().flatten();
    let name = |file: std::fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.filter_map(name).collect();
    names.sort();
    names
}

fn read_plan(file: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn jobs(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
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
    let git = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
