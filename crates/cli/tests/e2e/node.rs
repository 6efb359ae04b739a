//! Processes: a node that is killed when the test is done with it, and commands that end by themselves.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes this long; a test fails instead of hanging.
pub const SOON: Duration = Duration::from_secs(60);

pub fn seedlog(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedlog"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEEDLOG_")) {
        command.env_remove(name);
    }
    command
}

/// Runs to the end, with `input` on stdin.
pub fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = seedlog(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

/// The same, for a command that must do its work: its stdout.
pub fn must(args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(args, input);
    assert!(output.status.success(), "{args:?}: {}: {}", output.status, text(&output.stderr));
    output.stdout
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `seedlog dev` or `seedlog agent`.
pub struct Node {
    child: Child,
    pub rpc: String,
    pub http: String,
    pub data_dir: PathBuf,
    /// All that the ready line says.
    pub ready: serde_json::Value,
    stderr: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Node {
    pub fn start(data_dir: &Path) -> Node {
        Node::start_with(&["--data-dir", data_dir.to_str().unwrap()])
    }

    /// On what is like a disk of files of at most so many blocks.
    pub fn start_limited(data_dir: &Path, file_blocks_max: &str) -> Node {
        // With the signal ignored, the write fails instead.
        let limited = format!("trap '' XFSZ; ulimit -f {file_blocks_max}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_seedlog")]);
        Node::spawn(command, "dev", &["--data-dir", data_dir.to_str().unwrap()])
    }

    pub fn start_with(args: &[&str]) -> Node {
        Node::spawn(seedlog(&[]), "dev", args)
    }

    /// As a service, with these in its environment. The HTTP address of one that has none is empty.
    pub fn agent(args: &[&str], environment: &[(&str, &str)]) -> Node {
        let mut command = seedlog(&[]);
        // Tests run side by side.
        command.env("SEEDLOG_BIND_ADDR", "127.0.0.1:0").envs(environment.iter().copied());
        Node::spawn(command, "agent", args)
    }

    fn spawn(mut command: Command, subcommand: &str, args: &[&str]) -> Node {
        let scratch = tempfile::tempdir().unwrap();
        let stderr = scratch.path().join("stderr");
        let mut child = command
            .args([subcommand, "--output", "json"])
            .args(if args.contains(&"--config-file") { &[][..] } else { &["--rpc-port", "0"] })
            .args(if args.contains(&"--http-addr") { &[][..] } else { &["--http-addr", "127.0.0.1:0"] })
            .args(args)
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("no ready line but {line:?}: {}", std::fs::read_to_string(&stderr).unwrap())
        });
        let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Node {
            rpc: field("rpc_addr"),
            http: field("http_addr"),
            data_dir: field("data_dir").into(),
            ready,
            child,
            stderr,
            _scratch: scratch,
        }
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.wait()
    }

    pub fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < SOON {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("still running after {SOON:?}: {}", self.stderr())
    }

    /// What the node answers to `request`, sent as it is; the connection is closed after it.
    pub fn http(&self, request: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(&self.http).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.write_all(request).unwrap();
        Answer::read(&mut socket)
    }

    /// As curl -X METHOD -d BODY sends it: the content type is a lie.
    pub fn curl(&self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.http(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\
                 Content-Length: {length}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Connection: close\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already gone, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the node's stderr:\n{}", std::fs::read_to_string(&self.stderr).unwrap_or_default());
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn read(socket: &mut TcpStream) -> Answer {
        let mut whole = Vec::new();
        socket.read_to_end(&mut whole).unwrap();
        let whole = text(&whole);
        let (head, body) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer but {whole:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub fn error(&self) -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&self.body).unwrap()["error"].clone()
    }
}
