//! One seed is one process: runs seeds in child processes, several at a time.

use crate::run::Report;
use std::collections::VecDeque;
use std::ffi::OsStr;
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

/// The report of one plan in a file, from a process of its own.
///
/// # Errors
/// If the child cannot be started.
pub fn run_plan(program: &Path, plan: &Path) -> io::Result<Result<Report, Broken>> {
    finish(0, start(program, &["--plan".as_ref(), plan.as_os_str()])?)
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
    mut take: impl FnMut(Result<Report, Broken>) -> bool,
) -> io::Result<()> {
    let mut running: VecDeque<(u64, Child)> = VecDeque::new();
    let mut seeds = seeds.peekable();
    loop {
        // The oldest is waited for first: one more than there are cores keeps them all busy.
        while running.len() < jobs.max(1) + usize::from(jobs > 1) {
            let Some(seed) = seeds.next() else { break };
            let number = seed.to_string();
            let arguments = ["--seed", number.as_str()].into_iter().chain(extra.iter().map(String::as_str));
            running.push_back((seed, start(program, &arguments.map(OsStr::new).collect::<Vec<_>>())?));
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

fn start(program: &Path, arguments: &[&OsStr]) -> io::Result<Child> {
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
