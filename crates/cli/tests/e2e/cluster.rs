//! `seedlog dev --nodes 3`: a cluster of processes, whose leader is killed.

use crate::node::{Answer, Node, SOON, must, run, seedlog, text};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The first gRPC port and the first HTTP port of three nodes, all free a moment ago; below those that the
/// system gives to others.
fn free_ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 200) as u16 * 50;
    for _ in 0..200 {
        let base = 12_000 + (offset + NEXT.fetch_add(50, Ordering::Relaxed)) % 18_000;
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let tcp = [0, 10, 20, 30, 31, 32].map(|more| TcpListener::bind(addr(base + more)));
        let udp = [1, 11, 21].map(|more| UdpSocket::bind(addr(base + more)));
        if tcp.iter().all(Result::is_ok) && udp.iter().all(Result::is_ok) {
            return (base, base + 30);
        }
    }
    panic!("no free ports");
}

struct Cluster {
    child: Child,
    ready: Value,
    stderr: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Cluster {
    fn start(more: &[&str]) -> Cluster {
        let (rpc_port, http_port) = free_ports();
        let scratch = tempfile::tempdir().unwrap();
        let stderr = scratch.path().join("stderr");
        let mut child = seedlog(&["dev", "--nodes", "3", "--output", "json", "--rpc-port", &rpc_port.to_string()])
            .args(["--http-addr", &format!("127.0.0.1:{http_port}")])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or(Value::Null);
        let cluster = Cluster { child, ready, stderr, _scratch: scratch };
        assert!(!cluster.ready.is_null(), "no ready line but {line:?}");
        cluster
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    fn node(&self, number: usize) -> &Value {
        &self.ready["nodes"][number]
    }

    fn text(&self, number: usize, field: &str) -> &str {
        self.node(number)[field].as_str().unwrap()
    }

    fn number(&self, name: &str) -> usize {
        (0..3).find(|number| self.text(*number, "name") == name).unwrap()
    }

    fn pid(&self, number: usize) -> String {
        self.node(number)["pid"].to_string()
    }

    /// As `seedlog servers` at this node lists them.
    fn servers(&self, number: usize) -> Vec<Value> {
        serde_json::from_slice(&must(&["servers", "--output", "json", "--addr", self.text(number, "rpc_addr")], b""))
            .unwrap()
    }

    /// The names of those that lead, as this node sees it.
    fn leaders(&self, number: usize) -> Vec<String> {
        let led = |server: &Value| (server["is_leader"] == true).then(|| server["name"].as_str().unwrap().to_owned());
        self.servers(number).iter().filter_map(led).collect()
    }

    fn http(&self, number: usize, method: &str, body: &Value) -> Answer {
        let mut socket = TcpStream::connect(self.text(number, "http_addr")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let body = body.to_string();
        let length = body.len();
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        socket.write_all((head + &body).as_bytes()).unwrap();
        Answer::read(&mut socket)
    }

    fn produce(&self, number: usize, value: &str) -> Option<u64> {
        let answer = self.http(number, "POST", &json!({ "record": { "value": value } }));
        let answered: Value = serde_json::from_str(&answer.body).unwrap();
        answered["offset"].as_u64().filter(|_| answer.status == 200)
    }

    fn consume(&self, number: usize, offset: u64) -> String {
        let answer = self.http(number, "GET", &json!({ "offset": offset }));
        assert_eq!(answer.status, 200, "{answer:?}");
        let answered: Value = serde_json::from_str(&answer.body).unwrap();
        answered["record"]["value"].as_str().unwrap().to_owned()
    }

    /// What the node was told of how many threads to have.
    fn threads(&self, number: usize) -> Option<String> {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid(number))).unwrap();
        text(&environment).split('\0').find_map(|set| set.strip_prefix("TOKIO_WORKER_THREADS=")).map(str::to_owned)
    }

    /// SIGTERM, and the exit code.
    fn terminate(&mut self) -> Option<i32> {
        signal("-TERM", &self.child.id().to_string());
        let status = within(SOON, || self.child.try_wait().unwrap());
        assert!((0..3).all(|number| !is_running(&self.pid(number))), "a node outlived the command");
        status.code()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Its nodes end with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the cluster's stderr:\n{}", self.stderr());
        }
    }
}

/// Of one node of three, unless whoever runs the tests has said.
fn share_of_processors() -> Option<String> {
    let share = std::thread::available_parallelism().unwrap().get() / 3;
    std::env::var("TOKIO_WORKER_THREADS").ok().or_else(|| Some(share.max(1).to_string()))
}

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn within<T>(time: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(started.elapsed() < time, "not within {time:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn three_nodes_are_one_log_and_writes_go_on_when_the_leader_is_killed() {
    let mut cluster = Cluster::start(&[]);
    let dir = PathBuf::from(cluster.ready["data_dir"].as_str().unwrap());
    for number in 0..3 {
        assert_eq!(cluster.threads(number), share_of_processors());
        assert_eq!(cluster.produce(number, ["YQ==", "Yg==", "Yw=="][number]), Some(number as u64));
        assert_eq!(cluster.consume((number + 1) % 3, number as u64), ["YQ==", "Yg==", "Yw=="][number]);
    }
    let leader = cluster.ready["leader"].as_str().unwrap().to_owned();
    for number in 0..3 {
        let servers = cluster.servers(number);
        let mut names: Vec<&str> = servers.iter().map(|server| server["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["node-1", "node-2", "node-3"]);
        assert_eq!(cluster.leaders(number), [leader.as_str()]);
        assert!(servers.iter().all(|server| server["lag"].is_u64()), "whoever is asked: {servers:?}");
    }

    let killed = cluster.number(&leader);
    signal("-KILL", &cluster.pid(killed));
    let (one, other) = ((killed + 1) % 3, (killed + 2) % 3);
    let offset = within(Duration::from_secs(20), || cluster.produce(one, "ZA=="));
    assert_eq!(cluster.consume(other, offset), "ZA==");
    for (offset, value) in ["YQ==", "Yg==", "Yw=="].into_iter().enumerate() {
        assert_eq!(cluster.consume(other, offset as u64), value);
    }
    let successors = cluster.leaders(one);
    assert!(successors.len() == 1 && successors[0] != leader, "{successors:?} after {leader}");

    // Of the two that are left, by name, and asked of the one that does not lead.
    let now = cluster.number(&successors[0]);
    let next = if now == one { other } else { one };
    let name = cluster.text(next, "name").to_owned();
    let handed = text(&must(&["transfer-leader", &name, "--addr", cluster.text(next, "rpc_addr")], b""));
    assert!(handed.ends_with(&format!(" ({name}) leads\n")), "{handed}");
    within(SOON, || (cluster.leaders(now) == [name.as_str()]).then_some(()));

    let said = cluster.stderr();
    let ended = format!("{leader} has ended (signal 9), the others go on; to start it again:\n  seedlog agent ");
    assert!(said.contains(&ended), "{said}");
    assert!((1..=3).all(|number| said.contains(&format!("\nnode-{number} | "))), "{said}");
    assert_eq!(cluster.terminate(), Some(0), "{}", cluster.stderr());
    assert!(!dir.exists(), "a temporary directory goes");
}

#[test]
fn a_cluster_that_was_stopped_starts_again_with_its_records_and_one_that_is_removed_is_sent_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = ["--data-dir", dir.path().to_str().unwrap()];
    let mut cluster = Cluster::start(&data_dir);
    assert_eq!(cluster.produce(1, "YQ=="), Some(0));
    let ids = |cluster: &Cluster| {
        let mut ids: Vec<String> = cluster.servers(0).iter().map(|server| server["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let before = ids(&cluster);
    assert_eq!(cluster.terminate(), Some(0), "{}", cluster.stderr());
    let alone = run(&[&["dev"], &data_dir[..]].concat(), b"");
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("was made with --nodes 3"), "{}", text(&alone.stderr));

    // At other ports, even: each keeps its place.
    let mut cluster = Cluster::start(&data_dir);
    assert_eq!((cluster.consume(2, 0), ids(&cluster)), ("YQ==".to_owned(), before));
    let gone = cluster.number(&cluster.leaders(0)[0]);
    let (one, other) = ((gone + 1) % 3, (gone + 2) % 3);
    must(&["remove", cluster.text(gone, "name"), "--addr", cluster.text(one, "rpc_addr")], b"");
    let offset = within(SOON, || cluster.produce(one, "Yg=="));
    assert_eq!(cluster.consume(other, offset), "Yg==");
    within(SOON, || (cluster.servers(one).len() == 2 && cluster.leaders(one).len() == 1).then_some(()));
    let again = run(&["remove", cluster.text(gone, "name"), "--addr", cluster.text(one, "rpc_addr")], b"");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("no server has the id or the name"), "{}", text(&again.stderr));

    // It is there still, a stranger, and comes back in the place of another one.
    let (gone_name, one_name, other_name) =
        (cluster.text(gone, "name"), cluster.text(one, "name"), cluster.text(other, "name"));
    let addr = ["--addr", cluster.text(one, "rpc_addr")];
    let members = |name: &str| {
        let members = must(&[&["members", "--output", "json"], &addr[..]].concat(), b"");
        let members: Vec<Value> = serde_json::from_slice(&members).unwrap();
        let member = members.into_iter().find(|member| member["name"] == name).unwrap();
        (member["role"].as_str().unwrap().to_owned(), member["state"].clone())
    };
    assert_eq!(members(gone_name), ("stranger".to_owned(), json!("alive")));
    for (args, wanted) in [
        ([gone_name, one_name], "there is no server"),
        ([one_name, other_name], "votes already"),
        (["node-9", gone_name], "no server has the id or the name \"node-9\""),
        ([one_name, "00000000000000ff"], "there is no server 00000000000000ff in this cluster"),
    ] {
        let refused = run(&[&["replace"], &args[..], &addr[..]].concat(), b"");
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(text(&refused.stderr).contains(wanted), "{args:?}: {}", text(&refused.stderr));
    }
    let replaced = text(&must(&[&["replace", other_name, gone_name], &addr[..]].concat(), b""));
    assert!(replaced.contains(&format!("({gone_name}) votes in the place of ")), "{replaced}");
    within(SOON, || (members(other_name).0 == "stranger" && members(gone_name).0 != "stranger").then_some(()));
    let offset = within(SOON, || cluster.produce(gone, "Yw=="));
    assert_eq!(cluster.consume(one, offset), "Yw==");
    assert_eq!(cluster.terminate(), Some(0), "{}", cluster.stderr());
}

#[test]
fn a_node_that_cannot_start_ends_them_all_and_is_named() {
    let (rpc_port, http_port) = free_ports();
    let _taken = TcpListener::bind(("127.0.0.1", rpc_port + 10)).unwrap();
    let (rpc, http) = (rpc_port.to_string(), format!("127.0.0.1:{http_port}"));
    let output = run(&["dev", "--nodes", "3", "--rpc-port", &rpc, "--http-addr", &http], b"");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("node-2 has ended by itself (exit code "), "{said}");
    assert!(said.contains(&format!("node-2 | seedlog: cannot listen on 127.0.0.1:{}", rpc_port + 10)), "{said}");
    let refused = run(&["dev", "--nodes", "3", "--rpc-port", "0"], b"");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("3 nodes need a gRPC port each"), "{}", text(&refused.stderr));
    assert_eq!(run(&["dev", "--nodes", "2"], b"").status.code(), Some(2));
    let dir = tempfile::tempdir().unwrap();
    let data_dir = ["--data-dir", dir.path().to_str().unwrap()];
    drop(Node::start_with(&data_dir));
    let several = run(&[&["dev", "--nodes", "3"], &data_dir[..]].concat(), b"");
    assert_eq!(several.status.code(), Some(2));
    assert!(text(&several.stderr).contains("was made with --nodes 1"), "{}", text(&several.stderr));
}

#[test]
fn commands_that_know_several_addresses_go_on_when_the_leader_is_killed_and_give_up_without_a_majority() {
    const LINES: usize = 20_000;
    let cluster = Cluster::start(&[]);
    let addrs: Vec<&str> = (0..3).map(|number| cluster.text(number, "rpc_addr")).collect();
    let addr = ["--addr", &addrs.join(",")];
    let lines: Vec<String> = (0..LINES).map(|number| format!("line {number}\n")).collect();

    let mut producer = seedlog(&[&["produce", "--output", "json"], &addr[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let follower = seedlog(&[&["consume", "--follow", "-n", &LINES.to_string()], &addr[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = producer.stdin.take().unwrap();
    let fed = lines.clone();
    let feeding = std::thread::spawn(move || {
        for some in fed.chunks(100) {
            input.write_all(some.concat().as_bytes()).unwrap();
            // Slow enough that there is more to come whenever the leader goes.
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let there = || {
        let described = must(&[&["describe", "--output", "json"], &addr[..]].concat(), b"");
        serde_json::from_slice::<Value>(&described).unwrap()["next_offset"].as_u64().unwrap()
    };
    within(SOON, || (there() > LINES as u64 / 10).then_some(()));
    let leader = cluster.number(&cluster.leaders(0)[0]);
    signal("-KILL", &cluster.pid(leader));
    let at_the_kill = there();
    assert!(at_the_kill < LINES as u64, "{at_the_kill} of {LINES} were there already");

    feeding.join().unwrap();
    let output = producer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    let last = LINES - 1;
    let wanted = json!({ "acked": LINES, "first_offset": 0, "last_offset": last, "repeated": 0, "not_written": 0, "unknown": 0 });
    assert_eq!(tally, wanted);
    let followed = follower.wait_with_output().unwrap();
    assert_eq!(followed.status.code(), Some(0), "{}", text(&followed.stderr));
    assert!(followed.stdout == lines.concat().as_bytes(), "{} bytes of others were followed", followed.stdout.len());
    let listed = text(&must(&[&["servers"], &addr[..]].concat(), b""));
    assert!(listed.contains(" leader "), "{listed}");

    let next = cluster.number(&cluster.leaders((leader + 1) % 3)[0]);
    signal("-KILL", &cluster.pid(next));
    let asked = Instant::now();
    let refused = run(&[&["produce", "--timeout", "2s"], &addr[..]].concat(), b"one too many\n");
    assert!(matches!(refused.status.code(), Some(1 | 3)), "{}", text(&refused.stderr));
    assert!(asked.elapsed() < SOON / 2, "{:?}", asked.elapsed());
    signal("-KILL", &cluster.pid((0..3).find(|number| ![leader, next].contains(number)).unwrap()));
    // One that is going may yet hang up on somebody.
    within(SOON, || {
        let nobody = run(&[&["consume"], &addr[..]].concat(), b"");
        let said = text(&nobody.stderr);
        assert_eq!(nobody.status.code(), Some(1), "{said}");
        let named = |addr: &&str| said.contains(&format!("\n  cannot reach {addr}"));
        addrs.iter().all(named).then_some(())
    });
}
