//! A node of a development cluster: a `seedlog agent` of its own, whose log lines come out here with its name.

use super::cluster::Place;
use crate::failure::Failure;
use seedlog_runtime::{blocking, spawn};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use tokio::sync::mpsc::UnboundedSender;

/// How many threads tokio's runtime has for tasks. Each would have as many as the machine has processors, and they would
/// spend their time waking each other.
const THREADS: &str = "TOKIO_WORKER_THREADS";

/// What a child did.
pub enum Event {
    /// One more serves and knows a leader.
    Ready,
    /// The stdout of the one with this number is closed: it has ended, and waits to be looked after.
    Closed(usize),
}

pub struct Child {
    process: std::process::Child,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Must be called from the main thread: when the thread that starts a child ends, the child is told to.
    /// `processors` are how many it is to keep busy.
    pub fn start(
        number: usize,
        place: &Place,
        processors: usize,
        log: Option<&str>,
        events: UnboundedSender<Event>,
    ) -> Result<Child, Failure> {
        let failed = |error| Failure::NodeNotStarted { name: place.name.clone(), error };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        // What is set for a service here is not meant for these.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("SEEDLOG_") && name != "SEEDLOG_LOG" {
                command.env_remove(name);
            }
        }
        if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, processors.to_string());
        }
        command.args(place.arguments()).args(["--output", "json"]);
        if let Some(log) = log {
            command.args(["--log", log]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C in the terminal is for the parent, which passes it on once.
        command.process_group(0);
        end_with_parent(&mut command);
        let mut process = command.spawn().map_err(failed)?;
        let stdout = process.stdout.take().expect("it was piped");
        let stderr = process.stderr.take().expect("it was piped");
        drop(spawn(blocking(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // The first line says so.
            if lines.next().is_some() {
                let _ = events.send(Event::Ready);
            }
            // To the end, which is the child's.
            lines.for_each(drop);
            let _ = events.send(Event::Closed(number));
        })));
        let name = place.name.clone();
        drop(spawn(blocking(move || pass_on(&name, BufReader::new(stderr)))));
        Ok(Child { process, ended: None })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Of one that has closed its stdout.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        let status = self.process.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    fn signal(&self, signal: i32) {
        if self.has_ended() {
            return;
        }
        let pid = i32::try_from(self.process.id()).expect("process ids are positive");
        // SAFETY: a signal to a child that was not waited for, so its id is still its own.
        unsafe { libc::kill(pid, signal) };
    }
}

impl Drop for Child {
    /// Whatever went wrong, none is left behind.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
            let _ = self.process.wait();
        }
    }
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec, one system call that takes no memory and no lock.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Elsewhere a child outlives a parent that was killed.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

/// Each line whole, whatever the others say meanwhile.
fn pass_on(name: &str, mut lines: impl BufRead) {
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        let _ = io::stderr().lock().write_all(format!("{name} | {}\n", text.trim_end()).as_bytes());
        line.clear();
    }
}

/// How a process ended, for people.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
