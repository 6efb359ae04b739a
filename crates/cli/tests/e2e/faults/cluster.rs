//! Three agents, each a process on a host of its own.

use super::network::{Cut, Host, SWITCH};
use crate::metrics::Metrics;
use crate::node::{must, seedlog, text};
use seedlog_client::{Client, Options, Role, Server, Start};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub const NODES: usize = 3;
const NAMES: [&str; NODES] = ["a", "b", "c"];
/// What must come about, does within this; a node that was cut off under load for long has the most to do.
const BOUND: Duration = Duration::from_secs(120);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Where clients find the nodes: by number, and anew when one has moved.
pub type Addresses = Arc<Mutex<Vec<String>>>;

pub struct Cluster {
    nodes: Vec<Node>,
    pub addresses: Addresses,
    /// Its threads are on the switch, as whoever made it.
    pub runtime: Runtime,
    segment_bytes_max: &'static str,
    scratch: tempfile::TempDir,
}

struct Node {
    host: Host,
    data_dir: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// Must be called on the switch. Returns when all vote.
    pub fn form() -> Cluster {
        Cluster::with_segments("64MiB")
    }

    /// As [`Cluster::form`]; a segment grows up to the size given.
    pub fn with_segments(segment_bytes_max: &'static str) -> Cluster {
        let scratch = tempfile::tempdir().unwrap();
        let node = |number: usize| Node {
            host: Host::new(number, Ipv4Addr::new(10, 9, 0, number as u8 + 1)),
            data_dir: scratch.path().join(NAMES[number]),
            process: None,
        };
        let nodes: Vec<Node> = (0..NODES).map(node).collect();
        let addresses = nodes.iter().map(|node| rpc_addr(node.host.ip)).collect();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let addresses = Arc::new(Mutex::new(addresses));
        let mut cluster = Cluster { nodes, addresses, runtime, segment_bytes_max, scratch };
        (0..NODES).for_each(|number| cluster.start(number));
        cluster.all_vote();
        cluster
    }

    pub fn name(&self, number: usize) -> &'static str {
        NAMES[number]
    }

    pub fn others(&self, than: usize) -> [usize; NODES - 1] {
        [(than + 1) % NODES, (than + 2) % NODES]
    }

    pub fn start(&mut self, number: usize) {
        let joined: Vec<String> =
            self.others(number).iter().map(|other| format!("{}:8401", self.nodes[*other].host.ip)).collect();
        let out = |what: &str| {
            let path = self.scratch.path().join(format!("{}.{what}", NAMES[number]));
            File::options().create(true).append(true).open(path).unwrap()
        };
        let node = &self.nodes[number];
        let mut command = seedlog(&["agent", "--insecure", "--node-name", NAMES[number]]);
        command
            .arg("--data-dir")
            .arg(&node.data_dir)
            .args(["--bind-addr", &format!("{}:8401", node.host.ip), "--start-join-addrs", &joined.join(",")])
            .args(["--http-addr", &http_addr(node.host.ip)])
            .args(["--bootstrap-expect", &NAMES.join(","), "--segment-bytes-max", self.segment_bytes_max])
            .stdout(Stdio::null())
            .stderr(out("stderr"));
        node.host.place(&mut command);
        assert!(self.nodes[number].process.is_none(), "it runs already");
        self.nodes[number].process = Some(command.spawn().unwrap());
    }

    /// kill -9.
    pub fn kill(&mut self, number: usize) {
        let mut process = self.nodes[number].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM; returns when it has ended, as it should.
    pub fn terminate(&mut self, number: usize) {
        self.signal(number, "-TERM");
        let mut process = self.nodes[number].process.take().unwrap();
        let status = eventually("the node ends", || process.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{}", self.stderr(number));
    }

    pub fn signal(&self, number: usize, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid(number).to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn pid(&self, number: usize) -> u32 {
        self.nodes[number].process.as_ref().unwrap().id()
    }

    /// Of one that does not run: its disk is a new one.
    pub fn wipe(&self, number: usize) {
        assert!(self.nodes[number].process.is_none());
        std::fs::remove_dir_all(&self.nodes[number].data_dir).unwrap();
    }

    /// Where the log is.
    pub fn group_dir(&self, number: usize) -> PathBuf {
        self.nodes[number].data_dir.join("groups/0")
    }

    /// Stops all, and holds their logs against each other, as an operator would.
    pub fn end_alike(&mut self) {
        (0..NODES).for_each(|number| self.terminate(number));
        let dir = |number: usize| self.nodes[number].data_dir.to_str().unwrap();
        let compared = text(&must(&["verify", dir(0), "--compare", dir(1), "--compare", dir(2)], b""));
        let last: Vec<&str> = compared.lines().rev().take(NODES - 1).collect();
        eprintln!("{}", last.join("\n"));
        assert!(last.iter().all(|line| line.starts_with("the same as")), "{last:?}");
    }

    /// Of one that does not run: it comes back somewhere else.
    pub fn move_to(&mut self, number: usize, last_octet: u8) {
        assert!(self.nodes[number].process.is_none());
        let ip = Ipv4Addr::new(10, 9, 0, last_octet);
        self.nodes[number].host.move_to(ip);
        self.addresses.lock().unwrap()[number] = rpc_addr(ip);
    }

    /// From its peers; clients still reach it, and it them.
    pub fn cut_off(&self, number: usize, cut: Cut) {
        let peers = self.others(number).map(|other| self.nodes[other].host.ip);
        self.nodes[number].host.cut_off(&peers, cut);
    }

    /// From its peers and from clients.
    pub fn unplug(&self, number: usize) {
        self.cut_off(number, Cut::Both);
        self.nodes[number].host.cut_off(&[SWITCH], Cut::Both);
    }

    pub fn mend(&self, number: usize) {
        self.nodes[number].host.mend();
    }

    pub fn address(&self, number: usize) -> String {
        self.addresses.lock().unwrap()[number].clone()
    }

    /// Once it answers.
    pub fn metrics(&self, number: usize) -> Metrics {
        eventually("its numbers are shown", || Metrics::of(&http_addr(self.nodes[number].host.ip)))
    }

    /// Reads all that the node has, from the first record to the first failure.
    pub fn read_through(&self, number: usize) {
        let address = self.address(number);
        drop(self.runtime.spawn(async move {
            let mut tail = Client::connect(&address).unwrap().consume_stream(Start::Offset(0)).await.unwrap();
            while tail.next().await.is_some_and(|record| record.is_ok()) {}
        }));
    }

    /// As the node with this number lists them, if it answers.
    pub fn servers(&self, number: usize) -> Option<Vec<Server>> {
        let options = Options { answer_max: ANSWER_MAX, ..Options::default() };
        self.runtime.block_on(async {
            let client = Client::connect_with(&self.address(number), options).unwrap();
            client.servers().await.ok()
        })
    }

    /// How the leader sees them all. Leads: says so itself, and a majority says so.
    fn led(&self) -> Option<(usize, Vec<Server>)> {
        let seen: Vec<Option<Vec<Server>>> = (0..NODES).map(|number| self.servers(number)).collect();
        let says = |at: usize, leads: &str| {
            let servers = seen[at].as_ref()?;
            servers.iter().find(|server| server.is_leader && server.name == leads).map(|_| ())
        };
        let leader = (0..NODES).find(|leader| {
            let votes = (0..NODES).filter(|at| says(*at, NAMES[*leader]).is_some()).count();
            says(*leader, NAMES[*leader]).is_some() && votes > NODES / 2
        })?;
        Some((leader, seen[leader].clone()?))
    }

    pub fn leader(&self) -> usize {
        eventually("one leads", || self.led()).0
    }

    /// The id of the node with this number, once it serves, votes, and is hardly behind: as the leader sees it, and as it
    /// says itself, since the leader remembers one that has just gone for what it was.
    pub fn votes(&self, number: usize) -> String {
        /// Entries under way while the load goes on.
        const LAG_MAX: u64 = 100;
        eventually(&format!("{} votes and has caught up", NAMES[number]), || {
            let (_, servers) = self.led()?;
            let caught_up = servers.iter().find(|server| server.is_leader)?.last_index.saturating_sub(LAG_MAX);
            let seen = servers.iter().find(|server| {
                server.name == NAMES[number]
                    && server.rpc_addr == self.address(number)
                    && matches!(server.role(), Role::Leader | Role::Voter)
                    && (server.is_leader || server.matched_index.is_some_and(|matched| matched >= caught_up))
            })?;
            let own = self.servers(number)?;
            let is_there = own.iter().any(|server| server.id == seen.id && server.applied_index >= caught_up);
            is_there.then(|| seen.id.clone())
        })
    }

    pub fn all_vote(&self) {
        (0..NODES).for_each(|number| drop(self.votes(number)));
    }

    /// The ids of all members, as the leader sees them.
    pub fn ids(&self) -> Vec<String> {
        let (_, servers) = eventually("one leads", || self.led());
        servers.into_iter().map(|server| server.id).collect()
    }

    fn stderr(&self, number: usize) -> String {
        std::fs::read_to_string(self.scratch.path().join(format!("{}.stderr", NAMES[number]))).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.nodes.iter_mut().filter_map(|node| node.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            (0..NODES).for_each(|number| eprintln!("--- stderr of {}:\n{}", NAMES[number], self.stderr(number)));
        }
    }
}

fn rpc_addr(ip: Ipv4Addr) -> String {
    format!("{ip}:8400")
}

fn http_addr(ip: Ipv4Addr) -> String {
    format!("{ip}:8080")
}

/// Waits for a condition, and no longer than it may take.
pub fn eventually<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(started.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
