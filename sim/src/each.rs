//! One seed is one process: runs seeds in child processes, several at a time.

use crate::run::Report;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A child that gave no report: it panicked or was killed.
#[derive(Debug)]
pub struct Broken {
    pub seed: u64,
    pub status: String,
    pub stderr: String,
}

impl Broken {
    /// What it died of, so that two that died of the same can be told from two that did not.
    pub fn cause(&self) -> String {
        let at = |line: &str| line.split_once("panicked at ").map(|(_, place)| place.trim_end_matches(':').to_owned());
        match self.stderr.lines().find_map(at) {
            Some(place) => format!("panic at {place}"),
            None => format!("no report: {}", self.status),
        }
    }
}

/// What became of a run. The check that it failed is `None` if it failed none.
pub fn failed_check(result: &Result<Report, Broken>) -> Option<String> {
    match result {
        Ok(report) => report.violations.first().map(|first| first.check.clone()),
        Err(broken) => Some(broken.cause()),
    }
}

/// The report of one plan in a file, from a process of its own.
///
/// # Errors
/// If the child cannot be started.
pub fn run_plan(program: &Path, plan: &Path) -> io::Result<Result<Report, Broken>> {
    finish(0, start(program, &["--plan".into(), plan.into()])?)
}

/// The same for several, `jobs` at a time, in their order, until `take` says false.
///
/// # Errors
/// If a child cannot be started.
pub fn run_plans(
    program: &Path,
    plans: &[PathBuf],
    jobs: usize,
    take: impl FnMut(Result<Report, Broken>) -> bool,
) -> io::Result<()> {
    run_all(program, plans.iter().map(|plan| (0, vec!["--plan".into(), plan.into()])), jobs, take)
}

/// Runs `program run --seed N --output json`, and `extra`, for each seed, `jobs` at a time, and hands over the
/// results in the order of the seeds, until `take` says false.
///
/// # Errors
/// If a child cannot be started.
pub fn run_each(
    program: &Path,
    extra: &[String],
    seeds: impl Iterator<Item = u64>,
    jobs: usize,
    take: impl FnMut(Result<Report, Broken>) -> bool,
) -> io::Result<()> {
    let arguments = |seed: u64| {
        let own = ["--seed".to_owned(), seed.to_string()];
        (seed, own.iter().chain(extra).map(OsString::from).collect())
    };
    run_all(program, seeds.map(arguments), jobs, take)
}

fn run_all(
    program: &Path,
    runs: impl Iterator<Item = (u64, Vec<OsString>)>,
    jobs: usize,
    mut take: impl FnMut(Result<Report, Broken>) -> bool,
) -> io::Result<()> {
    let mut running: VecDeque<(u64, Child)> = VecDeque::new();
    let mut runs = runs.fuse();
    loop {
        // The oldest is waited for first: one more than there are cores keeps them all busy.
        while running.len() < jobs.max(1) + usize::from(jobs > 1) {
            let Some((seed, arguments)) = runs.next() else { break };
            running.push_back((seed, start(program, &arguments)?));
        }
        let Some((seed, child)) = running.pop_front() else { return Ok(()) };
        if !take(finish(seed, child)?) {
            for (_, mut child) in running {
                child.kill()?;
                child.wait()?;
            }
            return Ok(());
        }
    }
}

/// This very program.
pub fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

fn start(program: &Path, arguments: &[OsString]) -> io::Result<Child> {
    Command::new(program)
        .args(["run", "--output", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn finish(seed: u64, child: Child) -> io::Result<Result<Report, Broken>> {
    let output = child.wait_with_output()?;
    Ok(serde_json::from_slice(&output.stdout).map_err(|_| Broken {
        seed,
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::Broken;

    #[test]
    fn two_that_died_at_the_same_place_died_of_the_same() {
        let died = |stderr: &str| Broken { seed: 1, status: "exit status: 101".into(), stderr: stderr.into() }.cause();
        let one = died("noise\nthread 'main' (17) panicked at crates/log/src/read.rs:7:9:\nindex 3 is out of bounds");
        let other = died("thread 'main' (18) panicked at crates/log/src/read.rs:7:9:\nindex 4 is out of bounds");
        assert_eq!(one, "panic at crates/log/src/read.rs:7:9");
        assert_eq!(one, other);
        assert_ne!(one, died("thread 'main' (18) panicked at crates/log/src/read.rs:8:9:\n"));
        assert_eq!(died("killed"), "no report: exit status: 101");
    }
}
