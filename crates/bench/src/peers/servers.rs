//! The servers: started on free ports of loopback, each with a directory of its own.

use super::place::{Point, What};
use crate::args::Shape;
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::machine::{in_path, said};
use crate::process::{Load, Programs, Ready, Server, finished, free_ports, measured};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NODES: u16 = 3;
/// As many records as a call of a tail counts.
const READ: u32 = 1024;

/// Which peers there are, and what they say of themselves.
pub struct Found {
    etcd: Option<PathBuf>,
    nats: Option<PathBuf>,
    nats_sync: Option<NatsSync>,
    /// For the head of the page.
    pub versions: Vec<String>,
    pub nats_synced: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NatsSync {
    /// `sync_interval: always`, which NATS has had since 2.10.
    Setting,
    /// The attribute `S` of its directory: the kernel syncs each write before it returns.
    Attribute,
}

impl Found {
    pub fn look(scratch: &Path) -> Result<Found, BenchError> {
        let (etcd, nats) = (in_path("etcd"), in_path("nats-server"));
        let nats_sync = nats.as_ref().map(|nats| nats_sync(nats, scratch)).transpose()?.flatten();
        let version = |name: &str, program: &Option<PathBuf>, flag: &str| match program {
            Some(program) => {
                let line = said(Command::new(program).arg(flag));
                let first = line.lines().next().unwrap_or_default();
                format!("{name} {}", first.rsplit([' ', 'v']).next().unwrap_or_default())
            }
            None => format!("{name} left out: not in PATH"),
        };
        let versions = vec![version("etcd", &etcd, "--version"), version("NATS", &nats, "--version")];
        let nats_synced = match nats_sync {
            Some(NatsSync::Setting) => "`sync_interval: always`",
            Some(NatsSync::Attribute) => {
                "its directory has the attribute `S`, so that the kernel syncs each write (this version knows no \
                 `sync_interval`)"
            }
            None => "left out: this version knows no `sync_interval`, and the file system no `chattr +S`",
        };
        Ok(Found { etcd, nats, nats_sync, versions, nats_synced })
    }
}

fn nats_sync(nats: &Path, scratch: &Path) -> Result<Option<NatsSync>, BenchError> {
    let config = scratch.join("sync.conf");
    let text = format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}\n", scratch.join("never").display());
    std::fs::write(&config, text).map_err(io(config.display().to_string()))?;
    if succeeds(Command::new(nats).arg("-t").arg("-c").arg(&config)) {
        return Ok(Some(NatsSync::Setting));
    }
    let dir = scratch.join("synced");
    std::fs::create_dir(&dir).map_err(io(dir.display().to_string()))?;
    Ok(succeeds(Command::new("chattr").arg("+S").arg(&dir)).then_some(NatsSync::Attribute))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

pub struct Running {
    seedlog: Vec<Server>,
    etcd: Vec<Server>,
    nats: Vec<Server>,
    nats_synced: Vec<Server>,
    redis: Vec<Server>,
}

impl Running {
    /// Those that elect a leader while the next ones start come first.
    pub fn start(programs: &Programs, found: &Found, dir: &Path) -> Result<Running, BenchError> {
        let made = |name: &str| {
            let dir = dir.join(name);
            std::fs::create_dir(&dir).map_err(io(dir.display().to_string()))?;
            Ok::<_, BenchError>(dir)
        };
        let etcd_nodes = match &found.etcd {
            Some(program) => etcd(program, &made("etcd")?)?,
            None => Vec::new(),
        };
        let nats_nodes = match &found.nats {
            Some(program) => nats(program, &made("nats")?, None)?,
            None => Vec::new(),
        };
        let nats_synced = match (&found.nats, found.nats_sync) {
            (Some(program), Some(sync)) => nats(program, &made("nats-synced")?, Some(sync))?,
            _ => Vec::new(),
        };
        let redis = match &programs.redis {
            Some(program) => vec![Server::redis(program, &made("redis")?)?],
            None => Vec::new(),
        };
        let seedlog = cluster(programs, &made("seedlog")?)?;
        Ok(Running { seedlog: vec![seedlog], etcd: etcd_nodes, nats: nats_nodes, nats_synced, redis })
    }

    /// `None` where there is no such server.
    pub fn measure(
        &mut self,
        programs: &Programs,
        point: Point,
        seconds: Duration,
    ) -> Result<Option<Figures>, BenchError> {
        let (shape, servers) = match point.what {
            What::SeedlogUnary => (Shape::Unary, &mut self.seedlog),
            What::SeedlogStream => (Shape::Stream, &mut self.seedlog),
            What::SeedlogTail => (Shape::Consume, &mut self.seedlog),
            What::Etcd => (Shape::Unary, &mut self.etcd),
            What::NatsR3 => (Shape::Stream, &mut self.nats),
            What::NatsR3Synced => (Shape::Stream, &mut self.nats_synced),
            What::NatsTailR3 | What::NatsTailR1 => (Shape::Consume, &mut self.nats),
            What::Redis => (Shape::Stream, &mut self.redis),
            What::RedisTail => (Shape::Consume, &mut self.redis),
        };
        if servers.is_empty() {
            return Ok(None);
        }
        servers.iter_mut().try_for_each(Server::still_runs)?;
        let batch = if shape == Shape::Consume { READ } else { 1 };
        let load = Load { shape, in_flight: point.in_flight.unwrap_or(1), size: point.size, batch, seconds };
        let addrs = servers.iter().map(|server| server.addr.as_str()).collect::<Vec<_>>().join(",");
        let client = |load: &Load| match point.what {
            What::SeedlogUnary | What::SeedlogStream | What::SeedlogTail => load.seedlog(programs, &addrs),
            What::Etcd => load.of(programs, "etcd-client", &addrs),
            What::NatsR3 | What::NatsR3Synced | What::NatsTailR3 => load.of(programs, "nats-client", &addrs),
            What::NatsTailR1 => {
                let mut client = load.of(programs, "nats-client", &addrs);
                client.args(["--replicas", "1"]);
                client
            }
            What::Redis | What::RedisTail => load.of(programs, "redis-client", &addrs),
        };
        if shape == Shape::Consume {
            // What is read is written first, so that a record read does not cost what writing it did.
            finished(&mut client(&Load { seconds: Duration::from_millis(1), ..load }))?;
        }
        measured(servers, &mut client(&load)).map(Some)
    }

    /// What was written is thrown away, so only those that have children of their own are asked to end.
    pub fn stop(mut self) -> Result<(), BenchError> {
        self.seedlog.drain(..).try_for_each(Server::terminate)
    }
}

/// `seedlog dev --nodes 3`; its address is the leader's.
fn cluster(programs: &Programs, dir: &Path) -> Result<Server, BenchError> {
    // gRPC ports are ten apart, gossip's are behind them; HTTP's follow each other.
    let rpc_port = free_ports(&[0, 1, 10, 11, 20, 21])?;
    let http_port = free_ports(&[0, 1, 2])?;
    let mut command = Command::new(&programs.seedlog);
    command.args(["dev", "--nodes", &NODES.to_string(), "--rpc-port", &rpc_port.to_string(), "--log", "warn"]);
    command.args(["--http-addr", &format!("127.0.0.1:{http_port}"), "--output", "json", "--data-dir"]).arg(dir);
    Server::start(command, "seedlog dev --nodes 3", |line| {
        let ready: serde_json::Value = serde_json::from_str(line).ok()?;
        let nodes = ready["nodes"].as_array()?;
        let leader = nodes.iter().find(|node| node["name"] == ready["leader"])?;
        let pids = nodes.iter().filter_map(|node| u32::try_from(node["pid"].as_u64()?).ok()).collect();
        Some(Ready { addr: leader["rpc_addr"].as_str()?.to_owned(), pids })
    })
}

fn etcd(program: &Path, dir: &Path) -> Result<Vec<Server>, BenchError> {
    let ports: Vec<(u16, u16)> =
        (0..NODES).map(|_| free_ports(&[0, 1]).map(|port| (port, port + 1))).collect::<Result<_, _>>()?;
    let name = |node: usize| format!("e{node}");
    let peers = ports.iter().enumerate().map(|(node, (_, peer))| format!("{}=http://127.0.0.1:{peer}", name(node)));
    let peers = peers.collect::<Vec<_>>().join(",");
    let start = |(node, (client, peer)): (usize, &(u16, u16))| {
        let (addr, peer) = (format!("127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let url = format!("http://{addr}");
        let mut command = Command::new(program);
        command.args(["--name", &name(node), "--log-level", "error", "--logger", "zap", "--data-dir"]);
        command.arg(dir.join(name(node))).args(["--initial-cluster-state", "new", "--initial-cluster", &peers]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        Server::start_at(addr, command, "etcd")
    };
    ports.iter().enumerate().map(start).collect()
}

/// With room for what a consumer without flow control has not taken yet, which would be cut off otherwise.
fn nats(program: &Path, dir: &Path, sync: Option<NatsSync>) -> Result<Vec<Server>, BenchError> {
    if sync == Some(NatsSync::Attribute) && !succeeds(Command::new("chattr").arg("+S").arg(dir)) {
        return Err(BenchError::Nats(format!("chattr +S {} failed", dir.display())));
    }
    let setting = if sync == Some(NatsSync::Setting) { ", sync_interval: always" } else { "" };
    let ports: Vec<(u16, u16)> =
        (0..NODES).map(|_| free_ports(&[0, 1]).map(|port| (port, port + 1))).collect::<Result<_, _>>()?;
    let routes = ports.iter().map(|(_, peer)| format!("\"nats://127.0.0.1:{peer}\"")).collect::<Vec<_>>().join(", ");
    let start = |(node, (client, peer)): (usize, &(u16, u16))| {
        let (addr, config) = (format!("127.0.0.1:{client}"), dir.join(format!("n{node}.conf")));
        let text = format!(
            "server_name: n{node}\nlisten: \"{addr}\"\nlogtime: false\nmax_pending: 1GB\nwrite_deadline: \"30s\"\n\
             jetstream {{ store_dir: \"{}\", max_file_store: 64GB{setting} }}\n\
             cluster {{ name: bench, listen: \"127.0.0.1:{peer}\", routes: [{routes}] }}\n",
            dir.join(format!("n{node}")).display(),
        );
        std::fs::write(&config, text).map_err(io(config.display().to_string()))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config);
        Server::start_at(addr, command, "nats-server")
    };
    ports.iter().enumerate().map(start).collect()
}
