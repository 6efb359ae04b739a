//! `seedlog dev --nodes 3`: a cluster on loopback, each node a process, so that one of them can be killed.

use super::Dir;
use super::child::{Child, Event, ending};
use crate::args::{Dev, Output};
use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;
use seedlog_client::{Client, Role};
use seedlog_runtime::clock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// An election takes a second or two, and another is added to the voters in about as long.
const READY_MAX: Duration = Duration::from_secs(60);
/// Nodes answer what is in flight for a few seconds.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often the first node is asked whether all are voters.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// From one node's gRPC port to the next one's; gossip is at the port after gRPC's.
const PORTS_APART: u16 = 10;

/// Where each node is.
pub struct Places(Vec<Place>);

pub struct Place {
    pub name: String,
    data_dir: PathBuf,
    rpc_port: u16,
    gossip_port: u16,
    http_addr: SocketAddr,
    /// The first one's gossip; none: this is the first, and begins the cluster.
    join: Option<SocketAddr>,
}

impl Places {
    /// # Errors
    /// If there are no such ports.
    pub fn new(args: &Dev, http_addr: SocketAddr, dir: &Path) -> Result<Places, Failure> {
        let refused = || Failure::ClusterPorts { nodes: args.nodes, rpc_port: args.rpc_port, http_addr };
        if args.rpc_port == 0 || http_addr.port() == 0 {
            return Err(refused());
        }
        let place = |number: u16| {
            let rpc_port = args.rpc_port.checked_add(PORTS_APART * number)?;
            let first = SocketAddr::from((Ipv4Addr::LOCALHOST, args.rpc_port.checked_add(1)?));
            let name = format!("node-{}", number + 1);
            Some(Place {
                data_dir: dir.join(&name),
                name,
                rpc_port,
                gossip_port: rpc_port.checked_add(1)?,
                http_addr: SocketAddr::new(http_addr.ip(), http_addr.port().checked_add(number)?),
                join: (number > 0).then_some(first),
            })
        };
        (0..args.nodes).map(place).collect::<Option<Vec<_>>>().map(Places).ok_or_else(refused)
    }
}

impl Place {
    /// What `seedlog` is told to start it, and to start it again.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["agent".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--data-dir", self.data_dir.display().to_string());
        add("--node-name", self.name.clone());
        add("--rpc-port", self.rpc_port.to_string());
        add("--bind-addr", SocketAddr::from((Ipv4Addr::LOCALHOST, self.gossip_port)).to_string());
        add("--http-addr", self.http_addr.to_string());
        match self.join {
            Some(first) => add("--start-join-addrs", first.to_string()),
            None => arguments.push("--bootstrap".to_owned()),
        }
        // The one who asked for it named it.
        if !self.http_addr.ip().to_canonical().is_loopback() {
            arguments.push("--insecure".to_owned());
        }
        arguments
    }

    fn rpc_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.rpc_port).into()
    }
}

/// The running nodes, and what they do.
struct Cluster<'a> {
    places: &'a [Place],
    children: Vec<Child>,
    events: UnboundedReceiver<Event>,
}

pub async fn run(
    places: &Places,
    dir: &Dir,
    log: Option<&str>,
    mut signals: Signals,
    format: Output,
) -> Result<ExitCode, Failure> {
    let Places(places) = places;
    let (sender, events) = mpsc::unbounded_channel();
    let mut cluster = Cluster { places, children: Vec::new(), events };
    let all_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = (all_processors / places.len()).max(1);
    for (number, place) in places.iter().enumerate() {
        cluster.children.push(Child::start(number, place, processors, log, sender.clone())?);
    }
    let ended = seedlog_runtime::select! {
        () = signals.next() => Ok(()),
        failure = cluster.serve(dir, format) => Err(failure),
    };
    match &ended {
        Ok(()) => eprintln!("stopping all nodes: finishing what is in flight (once more to stop at once)"),
        Err(failure) => eprintln!("stopping all nodes: {failure}"),
    }
    let stopped = cluster.stop(&mut signals).await;
    ended.and(stopped).map(|()| ExitCode::SUCCESS)
}

impl Cluster<'_> {
    /// Until something goes wrong.
    async fn serve(&mut self, dir: &Dir, format: Output) -> Failure {
        let leader = match clock::timeout(READY_MAX, self.ready()).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::ClusterNotReady { after: READY_MAX },
        };
        let said = match format {
            Output::Json => output::json(&self.as_json(leader, dir)).map(drop),
            Output::Text => {
                eprint!("{}", self.what_to_try(leader, dir));
                Ok(())
            }
        };
        if let Err(error) = said {
            return Failure::Stdout(error);
        }
        loop {
            match self.events.recv().await {
                Some(Event::Closed(number)) => {
                    if let Err(failure) = self.ended(number) {
                        return failure;
                    }
                }
                Some(Event::Ready) => {}
                None => unreachable!("each child's end was seen, and the last one's is a failure"),
            }
        }
    }

    /// One that was killed, or asked to stop, is an experiment of its user's. One that failed is not.
    fn ended(&mut self, number: usize) -> Result<(), Failure> {
        let name = self.places[number].name.clone();
        let status = self.children[number].end().map_err(|error| Failure::NodeLost { name: name.clone(), error })?;
        let nobody_left = self.children.iter().all(Child::has_ended);
        if nobody_left || !matches!(status.code(), None | Some(0)) {
            return Err(Failure::NodeEnded { name, how: ending(status) });
        }
        eprintln!(
            "{name} has ended ({}), the others go on; to start it again:\n  seedlog {}",
            ending(status),
            self.places[number].arguments().join(" ")
        );
        Ok(())
    }

    /// All serve, all vote, one leads: its number.
    async fn ready(&mut self) -> Result<usize, Failure> {
        let mut not_ready = self.places.len();
        while not_ready > 0 {
            match self.events.recv().await {
                Some(Event::Ready) => not_ready -= 1,
                Some(Event::Closed(number)) => return Err(self.ended_early(number)),
                None => unreachable!("a child's end is seen before"),
            }
        }
        loop {
            let pause = seedlog_runtime::select! {
                event = self.events.recv() => event,
                () = clock::sleep(ASKED_EVERY) => None,
            };
            if let Some(Event::Closed(number)) = pause {
                return Err(self.ended_early(number));
            }
            if let Some(leader) = self.leader().await {
                return Ok(leader);
            }
        }
    }

    fn ended_early(&mut self, number: usize) -> Failure {
        let name = self.places[number].name.clone();
        match self.children[number].end() {
            Ok(status) => Failure::NodeEnded { name, how: ending(status) },
            Err(error) => Failure::NodeLost { name, error },
        }
    }

    /// The one that leads, once all vote.
    async fn leader(&self) -> Option<usize> {
        let client = Client::connect(&self.places[0].rpc_addr().to_string()).ok()?;
        let servers = client.servers().await.ok()?;
        let votes = |place: &Place| {
            let server = servers.iter().find(|server| server.name == place.name)?;
            matches!(server.role(), Role::Leader | Role::Voter).then_some(server)
        };
        let voting: Vec<_> = self.places.iter().map(votes).collect::<Option<_>>()?;
        voting.iter().position(|server| server.is_leader)
    }

    async fn stop(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        match clock::timeout(STOP_MAX, self.all_ended(signals)).await {
            Ok(ended) => ended,
            Err(_) => {
                self.children.iter().for_each(Child::kill);
                Err(Failure::ClusterNotStopped { after: STOP_MAX })
            }
        }
    }

    /// All at once, so that the leadership is not handed round more than it has to be.
    async fn all_ended(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        self.children.iter().for_each(Child::terminate);
        let mut failed = Ok(());
        while self.children.iter().any(|child| !child.has_ended()) {
            let event = seedlog_runtime::select! {
                event = self.events.recv() => event,
                () = signals.next() => {
                    self.children.iter().for_each(Child::terminate);
                    continue;
                }
            };
            let Some(Event::Closed(number)) = event else { continue };
            let name = self.places[number].name.clone();
            match self.children[number].end() {
                Ok(status) if status.success() => {}
                Ok(status) => failed = Err(Failure::NodeEnded { name, how: ending(status) }),
                Err(error) => failed = Err(Failure::NodeLost { name, error }),
            }
        }
        failed
    }

    fn as_json(&self, leader: usize, dir: &Dir) -> Value {
        let nodes = self.places.iter().zip(&self.children).map(|(place, child)| {
            json!({
                "name": place.name,
                "rpc_addr": place.rpc_addr().to_string(),
                "http_addr": place.http_addr.to_string(),
                "data_dir": place.data_dir.display().to_string(),
                "pid": child.pid(),
            })
        });
        json!({
            "nodes": nodes.collect::<Vec<_>>(),
            "leader": self.places[leader].name,
            "data_dir": dir.path().display().to_string(),
            "pid": std::process::id(),
        })
    }

    fn what_to_try(&self, leader: usize, dir: &Dir) -> String {
        let mut text = format!("\na cluster of {} nodes on loopback:\n", self.places.len());
        for (number, (place, child)) in self.places.iter().zip(&self.children).enumerate() {
            let leads = if number == leader { ", leads" } else { "" };
            let (rpc, http, pid) = (place.rpc_addr(), place.http_addr, child.pid());
            let _ = writeln!(text, "  {}  gRPC {rpc}, HTTP {http}, process {pid}{leads}", place.name);
        }
        let addr = |place: &Place| match place.rpc_port {
            crate::args::RPC_PORT => String::new(),
            _ => format!(" --addr {}", place.rpc_addr()),
        };
        let (first, last) = (&self.places[0], &self.places[self.places.len() - 1]);
        let other = &self.places[(leader + 1) % self.places.len()];
        let _ = write!(
            text,
            "data in {}{}\n\ntry:\n  \
             curl -X POST {} -d '{{\"record\":{{\"value\":\"TGV0J3MgR28gIzEK\"}}}}'\n  \
             curl -X GET {} -d '{{\"offset\":0}}'\n  \
             seq 1 100000 | seedlog produce{}\n  \
             seedlog consume --follow{}\n  \
             seedlog servers{}\n  \
             kill -9 {}; sleep 3; seedlog servers{}\n\nCtrl-C stops them all\n\n",
            dir.path().display(),
            if dir.is_temporary() { " (removed at exit; keep it with --keep or --data-dir DIR)" } else { "" },
            first.http_addr,
            last.http_addr,
            addr(first),
            addr(last),
            addr(first),
            self.children[leader].pid(),
            addr(other),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(nodes: u16, rpc_port: u16, http_addr: &str) -> Result<Vec<String>, String> {
        let args = Dev { data_dir: None, nodes, keep: false, rpc_port, http_addr: http_addr.parse().unwrap() };
        let places = Places::new(&args, http_addr.parse().unwrap(), Path::new("/d"));
        places
            .map(|Places(places)| places.iter().map(|place| place.arguments().join(" ")).collect())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_first_begins_the_cluster_and_the_others_join_it() {
        let wanted = [
            "agent --data-dir /d/node-1 --node-name node-1 --rpc-port 8400 --bind-addr 127.0.0.1:8401 \
             --http-addr 127.0.0.1:8080 --bootstrap",
            "agent --data-dir /d/node-2 --node-name node-2 --rpc-port 8410 --bind-addr 127.0.0.1:8411 \
             --http-addr 127.0.0.1:8081 --start-join-addrs 127.0.0.1:8401",
            "agent --data-dir /d/node-3 --node-name node-3 --rpc-port 8420 --bind-addr 127.0.0.1:8421 \
             --http-addr 127.0.0.1:8082 --start-join-addrs 127.0.0.1:8401",
        ];
        assert_eq!(places(3, 8400, "127.0.0.1:8080").unwrap(), wanted);
        let exposed = places(3, 8400, "0.0.0.0:8080").unwrap();
        assert!(exposed.iter().all(|arguments| arguments.ends_with(" --insecure")), "{exposed:?}");
    }

    #[test]
    fn ports_that_cannot_be_are_refused_with_what_was_given() {
        for (rpc_port, http_addr) in
            [(0, "127.0.0.1:8080"), (8400, "127.0.0.1:0"), (65_515, "127.0.0.1:8080"), (8400, "127.0.0.1:65534")]
        {
            let refused = places(3, rpc_port, http_addr).unwrap_err();
            assert!(refused.contains(&rpc_port.to_string()) && refused.contains(http_addr), "{refused}");
        }
        assert_eq!(places(3, 65_514, "127.0.0.1:65533").unwrap().len(), 3);
    }
}
