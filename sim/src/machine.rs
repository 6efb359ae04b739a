//! A machine under test: one node with a disk of its own, that can crash, lose power, and come back.

use crate::plan::{Config, Plan};
use crate::world::World;
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use rand::Rng as _;
use seedlog_agent::{Agent, StartError, StopReason};
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rng::keyed;
use seedlog_runtime::sim;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const RPC_PORT: u16 = 8400;
const GOSSIP_PORT: u16 = 8401;

/// Where node `number` of a site is reached: by its name, as its address may change.
pub fn address(site: u32, number: u32) -> String {
    format!("{}:{RPC_PORT}", name(site, number))
}

fn name(site: u32, number: u32) -> String {
    if site == 0 { format!("node-{number}") } else { format!("node-{number}-of-site-{site}") }
}

/// The address of the machine after so many moves.
fn ip(site: u32, number: u32, moves: u32) -> IpAddr {
    let byte = |number: u32| u8::try_from(number).expect("few sites, few moves, few nodes");
    [10, 1 + byte(site), byte(moves), byte(number)].into()
}

/// What a machine tells its supervisor.
#[derive(Debug)]
pub enum Signal {
    /// It serves.
    Ready,
    /// An armed crash has hit: inside a disk operation.
    DiskDown,
    /// The same, at an answer.
    AnswerDown,
    /// The agent stopped by itself.
    Stopped(StopReason),
    StartFailed {
        error: String,
        damage: bool,
    },
}

/// Who says it, and in which of its lives.
pub type Said = (u32, u64, Signal);

pub struct Machine {
    site: u32,
    pub number: u32,
    pub id: NodeId,
    pub disk: SimDisk,
    up: bool,
    /// Counts the lives of its process.
    life: Arc<AtomicU64>,
    /// Counts its addresses.
    moves: Arc<AtomicU32>,
    /// What its next start is told.
    config: Arc<Mutex<Config>>,
    signals: mpsc::UnboundedSender<Said>,
}

impl Machine {
    /// Switches it on for the first time.
    pub fn build(number: u32, plan: &Plan, world: &World, signals: mpsc::UnboundedSender<Said>) -> Machine {
        let disk = SimDisk::new(disk_seed(plan.seed, number));
        let (life, moves) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(0)));
        let config = Arc::new(Mutex::new(plan.config.clone()));
        observe(&disk, number, plan, world);
        let here = Here {
            number,
            plan: plan.clone(),
            disk: disk.clone(),
            world: world.clone(),
            signals: Mutex::new(signals.clone()),
            life: life.clone(),
            moves: moves.clone(),
            config: config.clone(),
        };
        let here = Arc::new(here);
        let node = Handle::current()
            .create_node()
            .name(name(plan.site, number))
            .ip(ip(plan.site, number, 0))
            .init(move || here.clone().live(here.life.fetch_add(1, Ordering::Relaxed) + 1))
            .build();
        let id = node.id();
        let down = signal(number, life.clone(), signals.clone());
        disk.on_down(Box::new(move || {
            sim::halt(id);
            down(Signal::DiskDown);
        }));
        NetSim::current().add_dns_record(&name(plan.site, number), ip(plan.site, number, 0));
        Machine { site: plan.site, number, id, disk, up: true, life, moves, config, signals }
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    pub fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }

    /// Where it is reached.
    pub fn address(&self) -> String {
        address(self.site, self.number)
    }

    pub fn name(&self) -> String {
        name(self.site, self.number)
    }

    /// Where it is at the moment.
    pub fn ip(&self) -> IpAddr {
        ip(self.site, self.number, self.moves.load(Ordering::Relaxed))
    }

    /// From its next start on.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config.lock().expect("no holder panics"));
    }

    /// What tells the supervisor something of this machine.
    pub fn signal(&self) -> impl Fn(Signal) + Send + Sync + 'static {
        signal(self.number, self.life.clone(), self.signals.clone())
    }

    /// The process goes, and with `power_seed` the power too. Whoever ran there answers nobody any more.
    pub fn crash(&mut self, world: &World, power_seed: Option<u64>) {
        world.crashing(self.number);
        sim::halt(self.id);
        Handle::current().kill(self.id);
        self.up = false;
        match power_seed {
            Some(seed) => self.disk.power_loss(seed),
            None => self.disk.crash_process(),
        }
    }

    /// From its next start on it is somewhere else. It must be down.
    pub fn change_address(&mut self) {
        assert!(!self.up, "its sockets would stay where they were");
        let to = ip(self.site, self.number, self.moves.fetch_add(1, Ordering::Relaxed) + 1);
        NetSim::current().set_ip(self.id, to);
        NetSim::current().add_dns_record(&name(self.site, self.number), to);
    }

    pub fn restart(&mut self, world: &World) {
        world.event(format!("node {} restarts", self.number));
        sim::unhalt(self.id);
        Handle::current().restart(self.id);
        self.up = true;
    }
}

fn signal(
    number: u32,
    life: Arc<AtomicU64>,
    signals: mpsc::UnboundedSender<Said>,
) -> impl Fn(Signal) + Send + Sync + 'static {
    // The supervisor is gone only when the run is over.
    move |signal| drop(signals.send((number, life.load(Ordering::Relaxed), signal)))
}

/// The first node's is the run's, as when there was only one.
fn disk_seed(seed: u64, number: u32) -> u64 {
    if number == 1 { seed } else { keyed(seed, &["disk".into(), u64::from(number).into()]).next_u64() }
}

fn observe(disk: &SimDisk, number: u32, plan: &Plan, world: &World) {
    let observer = world.clone();
    // Alone, it need not be said who.
    let who = if plan.nodes > 1 { format!("node {number} ") } else { String::new() };
    disk.observe(Box::new(move |event| {
        observer.event(format!(
            "{who}disk {} {} at {} length {} content {:x}: {:?}",
            event.operation,
            event.path.display(),
            event.position,
            event.length,
            event.content,
            event.result
        ));
    }));
}

fn agent_config(number: u32, plan: &Plan, own: &Config, moves: u32) -> seedlog_agent::Config {
    let site = plan.site;
    let ip = ip(site, number, moves);
    let mut config = seedlog_agent::Config::new("/data".into(), SocketAddr::new(ip, RPC_PORT));
    config.node_name = name(site, number);
    config.bootstrap = number == 1;
    if plan.nodes > 1 {
        config.gossip_addr = Some(SocketAddr::new(ip, GOSSIP_PORT));
        let others = (1..=plan.nodes).filter(|other| *other != number);
        config.join = others.map(|other| format!("{}:{GOSSIP_PORT}", name(site, other))).collect();
    }
    config.in_flight_bytes_max = plan.config.in_flight_bytes_max;
    config.reserve_bytes = plan.config.reserve_bytes;
    config.scrub_bytes_per_s = plan.config.scrub_bytes_per_s;
    config.scrub_pause = Duration::from_millis(plan.config.scrub_pause_ms);
    config.limits.batch_bytes_max = 64 << 10;
    config.limits.record_bytes_max = 16 << 10;
    config.heartbeat = Duration::from_millis(plan.config.heartbeat_ms);
    config.log = seedlog_log::Config {
        segment_bytes_max: own.segment_bytes_max,
        index_rows_max: own.index_rows_max,
        prewrite_bytes: own.prewrite_bytes,
        start_check_bytes_max: own.start_check_bytes_max,
        ..Default::default()
    };
    config
}

/// What outlives the process on the machine.
struct Here {
    number: u32,
    plan: Plan,
    disk: SimDisk,
    world: World,
    /// In a lock only since a node's beginning must be `Sync`.
    signals: Mutex<mpsc::UnboundedSender<Said>>,
    life: Arc<AtomicU64>,
    moves: Arc<AtomicU32>,
    config: Arc<Mutex<Config>>,
}

impl Here {
    /// From start to stop: what an orchestrator would run.
    async fn live(self: Arc<Here>, life: u64) {
        let Here { number, world, .. } = &*self;
        let signals = self.signals.lock().expect("no holder panics").clone();
        // The supervisor is gone only when the run is over.
        let say = |signal| drop(signals.send((*number, life, signal)));
        let own = self.config.lock().expect("no holder panics").clone();
        let config = agent_config(*number, &self.plan, &own, self.moves.load(Ordering::Relaxed));
        let signal = match Agent::start(config, Arc::new(self.disk.clone())).await {
            Ok(agent) => {
                let agent = Arc::new(agent);
                world.event(format!("node {number} started"));
                world.started(*number, agent.clone());
                let ready = async {
                    if agent.node().ready().await.is_ok() {
                        let range = agent.node().range();
                        world.event(format!("node {number} is ready, with offsets {}..{}", range.0, range.1));
                        world.restarted(*number, range);
                        world.look();
                        say(Signal::Ready);
                    }
                    std::future::pending::<StopReason>().await
                };
                let stopped = seedlog_runtime::select! {
                    reason = agent.stopped() => reason,
                    reason = ready => reason,
                };
                world.event(format!("node {number} stopped: {stopped:?}"));
                Signal::Stopped(stopped)
            }
            Err(error) => {
                world.event(format!("node {number} did not start: {error}"));
                Signal::StartFailed { damage: is_damage(&error), error: error.to_string() }
            }
        };
        say(signal);
        // The supervisor decides what comes next; a process that ended by itself would confuse madsim.
        std::future::pending::<()>().await;
    }
}

/// Whether a start was refused for what lies on the disk, not for an operation that failed.
fn is_damage(error: &StartError) -> bool {
    match error {
        StartError::DataDir(open) | StartError::Node(seedlog_raft::StartError::Open(open)) => {
            !matches!(open, seedlog_log::OpenError::Io { .. })
        }
        _ => false,
    }
}
