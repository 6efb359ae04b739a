//! Servers and clients as processes of their own: none shares a heap or a runtime with what it is
//! measured against. Each ends with the run, whatever ends that.

use crate::args::Shape;
use crate::error::{BenchError, io};
use crate::figures::Figures;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// The largest log is opened in a fraction of this.
const READY_MAX: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// Whose processor time counts: itself, or the nodes that it started.
    pids: Vec<u32>,
    program: String,
    /// What it said on stderr: shown if it fails.
    complaints: Arc<Mutex<String>>,
    pub addr: String,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

/// What a server says when it is ready.
pub struct Ready {
    pub addr: String,
    /// Whose processor time counts; empty: its own.
    pub pids: Vec<u32>,
}

impl Ready {
    pub fn at(addr: impl Into<String>) -> Ready {
        Ready { addr: addr.into(), pids: Vec::new() }
    }
}

/// The programs that are run.
pub struct Programs {
    pub seedlog: PathBuf,
    pub bench: PathBuf,
    pub redis: Option<PathBuf>,
}

impl Server {
    pub fn echo(programs: &Programs) -> Result<Server, BenchError> {
        let mut command = Command::new(&programs.bench);
        command.arg("echo-server").stdin(Stdio::piped());
        Server::start(command, "the echo server", |line| Some(Ready::at(line)))
    }

    pub fn node(programs: &Programs, data_dir: &Path) -> Result<Server, BenchError> {
        Server::node_as(Command::new(&programs.seedlog), data_dir)
    }

    /// The node that `command` runs, which is given its arguments here.
    pub fn node_as(mut command: Command, data_dir: &Path) -> Result<Server, BenchError> {
        command.args(["dev", "--rpc-port", "0", "--http-addr", "127.0.0.1:0", "--output", "json", "--log", "warn"]);
        command.arg("--data-dir").arg(data_dir);
        Server::start(command, "seedlog dev", |line| {
            let ready: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(Ready::at(ready["rpc_addr"].as_str()?))
        })
    }

    /// With an append-only file that is synced before every answer; nothing else is written.
    pub fn redis(program: &Path, dir: &Path) -> Result<Server, BenchError> {
        // It takes no port from the system by itself.
        let port = free_ports(&[0])?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string()).arg("--dir").arg(dir);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        Server::start(command, "redis-server", move |line| {
            line.contains("Ready to accept connections").then(|| Ready::at(format!("127.0.0.1:{port}")))
        })
    }

    /// Ready when it says so, on stdout.
    pub fn start(
        mut command: Command,
        program: &str,
        ready: impl Fn(&str) -> Option<Ready>,
    ) -> Result<Server, BenchError> {
        let started = Instant::now();
        let mut server = Server::spawn(command.stdout(Stdio::piped()), program)?;
        let stdout = server.child.stdout.take().expect("it was piped");
        let (said, lines) = mpsc::channel();
        // To its end, so that a server that goes on talking is never held up.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let deadline = started + READY_MAX;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(Ready { addr, pids }) = ready(&line) {
                        server.ready_after = started.elapsed();
                        server.addr = addr;
                        if !pids.is_empty() {
                            server.pids = pids;
                        }
                        return Ok(server);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(BenchError::NotReady { program: server.program.clone(), after: READY_MAX });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = server.child.wait().map_err(io(server.program.clone()))?;
                    return Err(server.ended(status));
                }
            }
        }
    }

    /// Not waited for: whoever connects does that.
    pub fn start_at(addr: String, mut command: Command, program: &str) -> Result<Server, BenchError> {
        let mut server = Server::spawn(command.stdout(Stdio::null()), program)?;
        server.addr = addr;
        Ok(server)
    }

    /// From the main thread: when the thread that starts a server ends, the server is told to.
    fn spawn(command: &mut Command, program: &str) -> Result<Server, BenchError> {
        let program = program.to_owned();
        end_with_parent(command);
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| BenchError::Start { program: program.clone(), error })?;
        let mut stderr = child.stderr.take().expect("it was piped");
        let complaints = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let complaints = complaints.clone();
            move || {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stderr.read(&mut bytes) {
                    complaints.lock().expect("no holder panics").push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
            }
        });
        let pids = vec![child.id()];
        Ok(Server { child, pids, program, complaints, addr: String::new(), ready_after: Duration::ZERO })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// If it has ended by itself.
    pub fn still_runs(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait().map_err(io(self.program.clone()))? {
            Some(status) => Err(self.ended(status)),
            None => Ok(()),
        }
    }

    /// Processor time it has used, user and system; `None` where the system does not say.
    fn cpu(&self) -> Option<Duration> {
        self.pids.iter().map(|pid| cpu(*pid)).sum()
    }

    /// What `client` measures of this server, and what a record costs this server meanwhile.
    pub fn measured(&self, client: &mut Command) -> Result<Figures, BenchError> {
        measured(std::slice::from_ref(self), client)
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) -> Result<(), BenchError> {
        let pid = i32::try_from(self.child.id()).expect("process ids are positive");
        // SAFETY: a signal to a child that was not waited for, so its id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let status = self.child.wait().map_err(io(self.program.clone()))?;
        if status.success() { Ok(()) } else { Err(self.ended(status)) }
    }

    fn ended(&self, status: ExitStatus) -> BenchError {
        let stderr = self.complaints.lock().expect("no holder panics").trim_end().to_owned();
        BenchError::Ended { program: self.program.clone(), status: status.to_string(), stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `client` measures of these servers together, and what a record costs all of them meanwhile.
pub fn measured(servers: &[Server], client: &mut Command) -> Result<Figures, BenchError> {
    let cpu = || servers.iter().map(Server::cpu).sum::<Option<Duration>>();
    let before = cpu();
    let mut figures: Figures = finished(client)?;
    let records = figures.records + figures.warm_up_records;
    figures.server_cpu_us = match (before, cpu()) {
        (Some(before), Some(after)) if records > 0 => {
            Some(after.saturating_sub(before).as_secs_f64() * 1e6 / records as f64)
        }
        _ => None,
    };
    Ok(figures)
}

/// What a process has used, user and system.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state is the first field, user time the twelfth.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // SAFETY: asks for a number and changes nothing.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|hz| *hz > 0)?;
    Some(Duration::from_nanos(ticks * (1_000_000_000 / per_second)))
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec, one system call that takes no memory and no lock.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// Elsewhere a server outlives a run that was killed.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

/// A port on loopback that was free a moment ago, and so were those at these distances from it.
pub fn free_ports(distances: &[u16]) -> Result<u16, BenchError> {
    const TRIED: usize = 100;
    let mut failed = None;
    for _ in 0..TRIED {
        let bound = TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr()).and_then(|first| {
            let ports = distances.iter().map(|distance| first.port().checked_add(*distance));
            let all = ports.map(|port| TcpListener::bind(("127.0.0.1", port.unwrap_or(0))));
            all.collect::<Result<Vec<_>, _>>().map(|_| first.port())
        });
        match bound {
            Ok(first) if distances.iter().all(|distance| first.checked_add(*distance).is_some()) => return Ok(first),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    Err(io("free ports on 127.0.0.1")(failed.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())))
}

/// Runs a client to its end and reads what it measured.
pub fn finished(client: &mut Command) -> Result<Figures, BenchError> {
    let program = format!("{client:?}");
    let output = client.stdin(Stdio::null()).output();
    let output = output.map_err(|error| BenchError::Start { program: program.clone(), error })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(BenchError::Ended { program, status: output.status.to_string(), stderr });
    }
    serde_json::from_slice(&output.stdout).map_err(|_| BenchError::Unexpected {
        program,
        said: String::from_utf8_lossy(&output.stdout).into_owned(),
        wanted: "what was measured, as JSON",
    })
}

/// What a client is told to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub shape: Shape,
    pub in_flight: u32,
    pub size: u32,
    /// Records of one request, or of one message read.
    pub batch: u32,
    pub seconds: Duration,
}

const WARM_UP: &str = "0.3";

impl Load {
    /// One of this program's own clients.
    pub fn of(&self, programs: &Programs, client: &str, addr: &str) -> Command {
        let mut command = Command::new(&programs.bench);
        let shape = match self.shape {
            Shape::Unary => "unary",
            Shape::Stream => "stream",
            Shape::Consume => "consume",
        };
        command.args([client, "--warm-up", WARM_UP, "--shape", shape, "--batch", &self.batch.to_string()]);
        command.args(["--addr", addr, "--in-flight", &self.in_flight.to_string(), "--size", &self.size.to_string()]);
        command.args(["--seconds", &self.seconds.as_secs_f64().to_string()]);
        command
    }

    pub fn seedlog(&self, programs: &Programs, addr: &str) -> Command {
        let mut command = seedlog_bench(programs);
        command.args(["--duration", &self.seconds.as_secs_f64().to_string(), "--warm-up", WARM_UP]);
        match (self.shape, self.batch) {
            (Shape::Unary, _) => command.args(["--mode", "unary"]),
            (Shape::Stream, 1) => command.args(["--mode", "stream"]),
            (Shape::Stream, batch) => command.args(["--mode", "batch", "--batch", &batch.to_string()]),
            (Shape::Consume, batch) => command.args(["--mode", "consume", "--batch", &batch.to_string()]),
        };
        command.args(["--addr", addr, "--in-flight", &self.in_flight.to_string(), "--size", &self.size.to_string()]);
        command
    }
}

/// Appends so many records, `batch` a request.
pub fn fill(programs: &Programs, addr: &str, records: u64, size: u32, batch: u32) -> Result<Figures, BenchError> {
    let mut command = seedlog_bench(programs);
    command.args(["--warm-up", "0", "--addr", addr, "--count", &records.to_string(), "--size", &size.to_string()]);
    match batch {
        1 => command.args(["--mode", "stream", "--in-flight", "256"]),
        batch => command.args(["--mode", "batch", "--in-flight", "16", "--batch", &batch.to_string()]),
    };
    finished(&mut command)
}

pub fn seedlog_bench(programs: &Programs) -> Command {
    let mut command = Command::new(&programs.seedlog);
    command.args(["bench", "--output", "json"]);
    command
}
