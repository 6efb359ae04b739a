//! A cluster of three `seedlog agent` processes that keep their addresses: one side of a mirror.

use crate::node::{SOON, must, seedlog};
use seedlog_client::{Cluster, Fetch, Record, Start};
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub const NODES: usize = 3;

pub struct Side {
    name: &'static str,
    nodes: Vec<Option<Child>>,
    rpc: Vec<u16>,
    gossip: Vec<u16>,
    scratch: tempfile::TempDir,
}

impl Side {
    pub fn start(name: &'static str) -> Side {
        // Free a moment ago. All are held until all are chosen.
        let tcp: Vec<_> = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let udp: Vec<_> = (0..NODES).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let rpc = tcp.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let gossip = udp.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop((tcp, udp));
        let nodes = (0..NODES).map(|_| None).collect();
        let mut side = Side { name, nodes, rpc, gossip, scratch: tempfile::tempdir().unwrap() };
        side.spawn(0, &["--bootstrap"]);
        let first = format!("127.0.0.1:{}", side.gossip[0]);
        (1..NODES).for_each(|node| side.spawn(node, &["--start-join-addrs", &first]));
        within(SOON, "all three vote", || side.voters() == NODES);
        side
    }

    fn spawn(&mut self, node: usize, more: &[&str]) {
        let stderr = File::options().create(true).append(true).open(self.stderr(node)).unwrap();
        let child = seedlog(&["agent", "--http-addr", "none", "--output", "json"])
            .args(["--data-dir", self.scratch.path().join(format!("node-{node}")).to_str().unwrap()])
            .args(["--node-name", &format!("{}-{node}", self.name)])
            .args(["--rpc-port", &self.rpc[node].to_string()])
            .args(["--bind-addr", &format!("127.0.0.1:{}", self.gossip[node])])
            .args(more)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        self.nodes[node] = Some(child);
    }

    fn stderr(&self, node: usize) -> PathBuf {
        self.scratch.path().join(format!("stderr-{node}"))
    }

    pub fn addresses(&self) -> Vec<String> {
        self.rpc.iter().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// For a flag.
    pub fn addr(&self) -> String {
        self.addresses().join(",")
    }

    pub fn client(&self) -> Cluster {
        Cluster::connect(self.addresses()).unwrap()
    }

    /// How many vote, as far as whoever answers first says.
    fn voters(&self) -> usize {
        let listed = |addr: &String| {
            let output = seedlog(&["servers", "--output", "json", "--addr", addr]).output().ok()?;
            let servers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
            Some(servers.iter().filter(|server| server["role"] == "leader" || server["role"] == "voter").count())
        };
        self.addresses().iter().find_map(listed).unwrap_or(0)
    }

    /// Who leads, as whoever answers first says.
    fn leader(&self) -> Option<usize> {
        self.addresses().iter().find_map(|addr| {
            let output = seedlog(&["servers", "--output", "json", "--addr", addr]).output().ok()?;
            let servers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
            let leader = servers.iter().find(|server| server["is_leader"] == true)?["name"].as_str()?.to_owned();
            leader.rsplit_once('-')?.1.parse().ok()
        })
    }

    /// kill -9 of whoever leads.
    pub fn kill_leader(&mut self) -> usize {
        let mut led = None;
        within(SOON, "somebody leads", || {
            led = self.leader();
            led.is_some()
        });
        let node = led.unwrap();
        self.kill(node);
        node
    }

    pub fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn restart(&mut self, node: usize) {
        let others: Vec<String> = (0..NODES)
            .filter(|other| *other != node)
            .map(|other| format!("127.0.0.1:{}", self.gossip[other]))
            .collect();
        self.spawn(node, &["--start-join-addrs", &others.join(",")]);
    }

    /// What the cluster is called, by its first server.
    pub async fn cluster_id(&self) -> String {
        self.client().members().await.unwrap().servers[0].cluster_id.clone()
    }

    /// Everything.
    pub async fn read_all(&self) -> Vec<Record> {
        read_all(&self.client()).await
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            // Already gone, if it failed.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for node in 0..NODES {
                let said = std::fs::read_to_string(self.stderr(node)).unwrap_or_default();
                eprintln!("--- {}-{node}:\n{said}", self.name);
            }
        }
    }
}

pub async fn read_all(cluster: &Cluster) -> Vec<Record> {
    let end = cluster.next_offset().await.unwrap();
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    while at < end {
        let fetch = Fetch { start: Start::Offset(at), records_max: 10_000, bytes_max: 0, wait: Duration::ZERO };
        match cluster.fetch(fetch).await {
            Ok(read) => records.extend(read),
            Err(error) => {
                // Trimmed.
                at = error.out_of_range().unwrap_or_else(|| panic!("{error}")).start;
                continue;
            }
        }
        at = records.last().unwrap().offset + 1;
    }
    records
}

/// What a mirror must have made of the records at the source, which was not trimmed.
pub fn as_mirrored(source: &[Record], source_id: &str) -> Vec<Record> {
    let made = source.iter().map(|record| {
        let origin = seedlog_client::Origin {
            cluster_id: source_id.to_owned(),
            offset: record.offset,
            append_time_ms: record.append_time_ms,
        };
        Record { origins: vec![origin], term: 0, append_time_ms: 0, ..record.clone() }
    });
    made.collect()
}

/// Without what the destination says of their places there, but the offset.
pub fn without_place(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().map(|record| Record { term: 0, append_time_ms: 0, ..record }).collect()
}

pub fn within(time: Duration, what: &str, mut seen: impl FnMut() -> bool) {
    let started = Instant::now();
    while !seen() {
        assert!(started.elapsed() < time, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One record for each value, by the command.
pub fn produce(addr: &str, values: &[&str]) {
    must(&["produce", "--addr", addr], format!("{}\n", values.join("\n")).as_bytes());
}
