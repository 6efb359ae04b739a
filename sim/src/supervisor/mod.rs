//! Carries out the plan: faults at their times, restarts after them, and the peace at the end.

mod again;
mod conditions;
mod damage;
mod faults;
mod lost_end;
mod lost_writes;
mod membership;
mod misled;
mod operator;
mod outvoted;
mod overtaken;
mod points;
mod upgrade;

use crate::links::{Link, Links, configure};
use crate::machine::{Machine, Said, Signal};
use crate::plan::{Fault, Plan, Planned, Target};
use crate::world::{World, now_ns};
use again::{Breaking, Loop, Space};
use faults::{Flap, Slow};
use lost_end::Ending;
use lost_writes::{Earlier, Lost};
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use membership::Departed;
use misled::Misleading;
use operator::Replacing;
use outvoted::Outvoting;
use overtaken::Overtaking;
use rand::Rng as _;
use seedlog_agent::{Healed, StopReason};
use seedlog_runtime::disk::sim as disk;
use seedlog_runtime::rng::keyed;
use seedlog_runtime::sim::{self, BlockingTimes, Skew};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use upgrade::Version;

/// An agent that is asked to stop must have stopped by then, however slow its disk.
const SHUTDOWN_MAX_MS: u64 = 20_000;
/// How long a supervisor waits before it starts a node again that stopped by itself.
const RESTART_DELAY_MS: u64 = 200;

const LOOK_AGAIN_NS: u64 = 20_000_000;

enum Action {
    Begin(Target, Fault),
    Restart { at: usize },
    PowerLoss { at: usize, power_seed: u64, counts_as: &'static str },
    EndSlowDisk { at: usize },
    EndClockRate { at: usize },
    EndDiskFull { at: usize },
    EndPause { at: usize, life: u64 },
    Mend(Vec<Link>),
    Flap(Box<Flap>),
    Overtaking(Overtaking),
    Outvoting(Outvoting),
    Misleading(Misleading),
    LoseEnd(Ending),
    LoseWrites(Earlier),
    EndStorm,
    EndDiskErrors { at: usize, what: disk::FaultKind, path: String },
    EndSlowLink(Slow),
    Disarm { at: usize, armed: Armed },
    Loop(Loop),
    FlipSpace(Box<Space>, bool),
    Break(Breaking),
    Replacing(Replacing),
    ShutdownMustBeOver { at: usize, life: u64 },
    SeeDeparted { at: usize },
    SeeHealed { at: usize, was_sound: bool },
}

/// What a node does that starts on rotten bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotten {
    Serves,
    Refuses,
    Neither,
}

pub struct Supervisor {
    plan: Plan,
    world: World,
    nodes: Vec<Watched>,
    signals: mpsc::UnboundedReceiver<Said>,
    clients: Vec<NodeId>,
    /// By time in nanoseconds, and by number where times are equal.
    actions: BTreeMap<(u64, u64), Action>,
    planned: u64,
    links: Links,
    slow_links: Vec<Slow>,
    /// How many storms rage.
    storms: u32,
    /// Held by each transfer of the leadership that is under way.
    transfers: Arc<()>,
    /// A disk has gone, and whoever came in its place does not vote yet.
    mending: bool,
    /// Whose disk has lost something that is not back there yet.
    hurt: Option<usize>,
    /// And of this it does not know, unless it is told.
    lost_writes: Option<Lost>,
    /// A node is being misled, for which it takes all others as they are.
    misleading: bool,
    /// A bit has flipped there: damage is what a start should find.
    rotten: Option<usize>,
    refused: bool,
}

/// What an armed crash will be, once it hits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Armed {
    power_seed: Option<u64>,
    down_ms: u64,
    counts_as: &'static str,
}

/// A machine, and what its supervisor knows of it.
struct Watched {
    machine: Machine,
    skew: Skew,
    armed: Option<Armed>,
    /// The same, at an answer.
    armed_answer: Option<Armed>,
    /// Disk errors seen when the node last stopped by itself: it may stop only for new ones.
    excused: u64,
    ready: bool,
    paused: bool,
    /// Its disk takes long, or has little room.
    slow: bool,
    full: bool,
    /// How many kinds of operation always fail on its disk.
    failing: u32,
    /// The agent was asked to stop; after that long down, it is started again.
    stopping: Option<u64>,
    /// What its next start makes of it.
    becomes: Option<Version>,
    /// It was asked to leave its cluster.
    departed: Option<Departed>,
    /// As far as it was seen.
    healed: Healed,
    /// It gives no votes, as it says.
    marked: bool,
}

impl Watched {
    fn new(machine: Machine) -> Watched {
        Watched {
            machine,
            skew: Skew::default(),
            armed: None,
            armed_answer: None,
            excused: 0,
            ready: false,
            paused: false,
            slow: false,
            full: false,
            failing: 0,
            stopping: None,
            becomes: None,
            departed: None,
            healed: Healed::default(),
            marked: false,
        }
    }

    /// Up, and nothing slows it or is about to end it.
    fn is_well(&self) -> bool {
        let is_armed = self.armed.is_some() || self.armed_answer.is_some();
        let is_ailing = self.slow || self.full || self.failing > 0;
        let in_the_way = self.paused || is_ailing || self.stopping.is_some() || is_armed;
        self.machine.is_up() && !in_the_way && !self.marked && self.skew.rate == 1.0
    }

    /// Errors that the disk has given so far; each may stop the node, or keep it from starting.
    fn disk_errors(&self) -> u64 {
        let fired = self.machine.disk.fired();
        ["sync_error", "sync_dir_error", "write_error", "read_error"].iter().filter_map(|name| fired.get(name)).sum()
    }

    /// Whether it stopped for an error of its disk that it has not stopped for before.
    fn is_excused(&mut self) -> bool {
        let errors = self.disk_errors();
        std::mem::replace(&mut self.excused, errors) != errors
    }

    fn forget_answer(&mut self) {
        self.armed_answer = None;
        sim::forget_crash_at_answer(self.machine.id);
    }

    fn disk_steps(&self, longest: Duration) {
        let range = Duration::from_micros(10)..=longest.max(Duration::from_micros(11));
        sim::set_blocking(self.machine.id, BlockingTimes { before: range.clone(), after: range });
    }

    fn inject(&self, kind: disk::FaultKind, path_suffix: Option<String>, skip: u64, times: u64) {
        self.machine.disk.inject(disk::Fault { kind, path_suffix, skip, times });
    }
}

impl Supervisor {
    pub fn new(plan: &Plan, world: &World, clients: Vec<NodeId>) -> Supervisor {
        let (sender, signals) = mpsc::unbounded_channel();
        let machine = |number| Watched::new(Machine::build(number, plan, world, sender.clone()));
        let mut supervisor = Supervisor {
            nodes: (1..=plan.nodes).map(machine).collect(),
            plan: plan.clone(),
            world: world.clone(),
            signals,
            clients,
            actions: BTreeMap::new(),
            planned: 0,
            links: Links::default(),
            slow_links: Vec::new(),
            storms: 0,
            transfers: Arc::new(()),
            mending: false,
            hurt: None,
            lost_writes: None,
            misleading: false,
            rotten: None,
            refused: false,
        };
        supervisor.start_as_they_are();
        supervisor.healthy_disks();
        for Planned { at_ms, node, fault } in plan.faults.clone() {
            supervisor.at(at_ms * 1_000_000, Action::Begin(node, fault));
        }
        supervisor
    }

    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.nodes.iter().map(|node| &node.machine)
    }

    /// Runs the plan until its trouble is over.
    pub async fn trouble(&mut self) {
        self.run_until(self.plan.trouble_ms * 1_000_000, false).await;
    }

    /// Ends all faults; every node must serve again within `within`.
    pub async fn heal(&mut self, within: Duration) -> bool {
        self.world.event("heal");
        self.actions.clear();
        self.links.mend_all();
        for slow in std::mem::take(&mut self.slow_links) {
            self.end_slow_link(&slow);
        }
        self.storms = 0;
        self.calm();
        self.healthy_disks();
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            node.armed = None;
            node.forget_answer();
            (node.full, node.slow, node.failing) = (false, false, 0);
            node.machine.disk.clear_faults();
            node.skew.rate = 1.0;
            sim::set_skew(node.machine.id, node.skew);
            self.resume(at);
            self.upgrade_in_the_end(at);
            self.restart(at);
            if self.nodes[at].departed.is_some() {
                self.after_ms(1, Action::SeeDeparted { at });
            }
        }
        if let Some(at) = self.hurt {
            self.after_ms(1, Action::SeeHealed { at, was_sound: false });
        }
        self.serves_within(within).await
    }

    /// A last power loss, of all at once, in the middle of the clients' work; then every node must serve again.
    pub async fn last_power_loss(&mut self, power_seed: u64, within: Duration) -> bool {
        self.world.event("last power loss");
        for at in 0..self.nodes.len() {
            self.crash(at, Some(self.power_seed_of(at, power_seed)));
            self.at(now_ns() + 50_000_000, Action::Restart { at });
        }
        self.serves_within(within).await
    }

    /// Flips a synced bit of a node's log while it is down, and starts it again. Which node that was.
    pub async fn rot(&mut self, seed: u64, within: Duration) -> (u32, Rotten) {
        let at = if self.nodes.len() > 1 { seed as usize / 7 % self.nodes.len() } else { 0 };
        self.crash(at, None);
        let machine = &self.nodes[at].machine;
        let stores: Vec<_> = machine.disk.paths();
        let stores: Vec<_> = stores.into_iter().filter(|path| path.extension().is_some_and(|e| e == "store")).collect();
        let path = &stores[seed as usize % stores.len()];
        let position = machine.disk.rot(path, seed);
        let number = machine.number;
        self.world.event(format!("a bit of {} of node {number} rots at {position:?}", path.display()));
        self.rotten = Some(at);
        self.restart(at);
        let rotten = match self.serves_within(within).await {
            _ if self.refused => Rotten::Refuses,
            true => Rotten::Serves,
            false => Rotten::Neither,
        };
        (number, rotten)
    }

    /// Whether the node, or a start of it, has given up over the rotten bytes.
    pub fn has_refused(&mut self) -> bool {
        while let Ok(said) = self.signals.try_recv() {
            self.on(said);
        }
        self.refused
    }

    async fn serves_within(&mut self, within: Duration) -> bool {
        self.run_until(now_ns() + within.as_nanos() as u64, true).await;
        self.all_ready()
    }

    /// All serve, and in a cluster all vote.
    fn all_ready(&self) -> bool {
        let whole = || self.nodes.len() == 1 || self.rotten.is_some() || self.world.whole_since().is_some();
        self.all_serve() && whole() && self.hurt.is_none()
    }

    fn all_serve(&self) -> bool {
        self.nodes.iter().all(|node| {
            let serves = || self.world.agent(node.machine.number).is_some_and(|agent| agent.node().is_ready());
            // One that is about to stop does not count, however well it serves.
            node.ready && node.stopping.is_none() && serves()
        })
    }

    /// What keeps whom, for people.
    pub fn states(&self) -> Vec<String> {
        let state = |node: &Watched| {
            let number = node.machine.number;
            let Some(agent) = self.world.agent(number) else { return format!("node {number} is down") };
            let (node_id, seen) = (agent.identity().node_id, agent.node().observe());
            let serves = if agent.node().is_ready() { "serves" } else { "does not serve" };
            let stopping = if node.stopping.is_some() { ", stops" } else { "" };
            let short = |ids: &[u64]| ids.iter().map(|id| format!("{:04x}", id >> 48)).collect::<Vec<_>>().join(" ");
            let voters: Vec<String> = seen.voters.iter().map(|voters| short(voters)).collect();
            format!(
                "node {number} ({:04x}) {serves}{stopping}, voters {} by {:?}, learners {}, log {:?} to {:?}, durable to {}, committed {:?}, applied {:?}, vote {:?}",
                node_id >> 48,
                voters.join(" and "),
                seen.voters_since,
                short(&seen.learners),
                seen.purged,
                seen.last,
                seen.durable_end,
                seen.committed,
                seen.applied,
                seen.vote.map(|vote| (vote.term, vote.granted, format!("{:04x}", vote.node_id >> 48))),
            )
        };
        self.nodes.iter().map(state).collect()
    }

    /// Lets time pass under the eyes of the supervisor.
    pub async fn peace(&mut self, time: Duration) {
        self.run_until(now_ns() + time.as_nanos() as u64, false).await;
    }

    async fn run_until(&mut self, end_ns: u64, until_ready: bool) {
        loop {
            self.tell_health();
            self.see_whole();
            self.see_healing();
            self.see_lost_writes();
            if (until_ready && (self.all_ready() || self.refused)) || self.world.complained() {
                return;
            }
            let next = self.actions.first_key_value().map_or(end_ns, |((at, _), _)| (*at).min(end_ns));
            // Others complain, too; and when a node that was ready has a leader again, nothing tells.
            let next = if self.nodes.len() > 1 { next.min(now_ns() + LOOK_AGAIN_NS) } else { next };
            let wait = madsim::time::sleep(Duration::from_nanos(next.saturating_sub(now_ns())));
            seedlog_runtime::select! {
                said = self.signals.recv() => self.on(said.expect("the machines hold senders")),
                () = wait => {
                    match self.actions.first_entry() {
                        Some(entry) if entry.key().0 <= now_ns() => {
                            let action = entry.remove();
                            self.act(action);
                        }
                        _ if now_ns() >= end_ns => return,
                        _ => {}
                    }
                }
            }
        }
    }

    fn at(&mut self, at_ns: u64, action: Action) {
        self.planned += 1;
        self.actions.insert((at_ns, self.planned), action);
    }

    fn after_ms(&mut self, ms: u64, action: Action) {
        self.at(now_ns() + ms * 1_000_000, action);
    }

    fn on(&mut self, (number, life, signal): Said) {
        let at = number as usize - 1;
        let node = &mut self.nodes[at];
        // Of a life that was ended since.
        if !node.machine.is_up() || node.machine.life() != life {
            return;
        }
        match signal {
            Signal::Ready => {
                node.ready = true;
                self.see_repaired(at);
            }
            Signal::DiskDown => {
                let Some(armed) = node.armed.take() else { return };
                self.goes_down(at, armed);
            }
            Signal::AnswerDown => {
                let Some(armed) = node.armed_answer.take() else { return };
                self.goes_down(at, armed);
            }
            Signal::Stopped(_) | Signal::StartFailed { .. } if self.rotten == Some(at) => {
                self.refused = true;
                self.world.fired("rot_refused");
            }
            Signal::Stopped(StopReason::Shutdown) if node.stopping.is_some() => {
                let down_ms = node.stopping.take().unwrap_or_default();
                self.world.fired("graceful_restart");
                self.crash(at, None);
                self.after_ms(down_ms, Action::Restart { at });
            }
            Signal::Stopped(reason) => {
                // What it needs and lost may be trimmed by all others: a start does without it.
                let hurt = self.hurt == Some(at);
                if !node.is_excused() && !hurt {
                    let what = format!("node {number} stopped without a fault of its disk: {reason:?}");
                    self.world.complain("recovery", what);
                }
                self.world.fired("node_stopped_itself");
                self.crash(at, None);
                self.after_ms(RESTART_DELAY_MS, Action::Restart { at });
            }
            Signal::StartFailed { error, damage } => {
                // As above, if it needs it that early.
                let hurt = self.hurt == Some(at) && !damage;
                if (!node.is_excused() && !hurt) || damage {
                    self.world.complain("recovery", format!("a start of node {number} was refused: {error}"));
                }
                self.world.fired("start_failed");
                self.crash(at, None);
                self.after_ms(RESTART_DELAY_MS, Action::Restart { at });
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(target, fault) => self.begin(target, fault),
            Action::Restart { at } => self.restart(at),
            Action::PowerLoss { at, power_seed, counts_as } => {
                self.world.event("power loss");
                self.world.fired(counts_as);
                self.crash(at, Some(power_seed));
                self.after_ms(RESTART_DELAY_MS, Action::Restart { at });
            }
            Action::EndSlowDisk { at } => {
                self.nodes[at].slow = false;
                self.healthy_disk(at);
            }
            Action::EndClockRate { at } => {
                let node = &mut self.nodes[at];
                node.skew.rate = 1.0;
                sim::set_skew(node.machine.id, node.skew);
            }
            Action::EndDiskFull { at } => {
                self.nodes[at].full = false;
                self.nodes[at].machine.disk.set_space_bytes(None);
            }
            Action::EndPause { at, life } if self.nodes[at].machine.life() == life => self.resume(at),
            Action::EndPause { .. } => {}
            Action::Overtaking(overtaking) => self.overtaking(overtaking),
            Action::Outvoting(outvoting) => self.outvoting(outvoting),
            Action::Misleading(misleading) => self.misleading(misleading),
            Action::LoseEnd(ending) => self.lose_end(ending),
            Action::LoseWrites(earlier) => self.lose_writes(earlier),
            Action::Mend(links) => self.links.mend(&links),
            Action::Flap(flap) => self.flap(*flap),
            Action::EndStorm => {
                self.storms -= 1;
                if self.storms == 0 {
                    self.calm();
                }
            }
            Action::EndDiskErrors { at, what, path } => {
                let node = &mut self.nodes[at];
                // Another disk may have taken its place.
                node.failing = node.failing.saturating_sub(1);
                node.machine.disk.withdraw(what, Some(&path));
            }
            Action::EndSlowLink(slow) => self.end_slow_link(&slow),
            Action::Disarm { at, armed } => self.disarm(at, armed),
            Action::Loop(again) => self.restart_loop(again),
            Action::FlipSpace(space, full) => self.flip_space(*space, full),
            Action::Break(breaking) => self.break_connections(breaking),
            Action::Replacing(replacing) => self.replacing(replacing),
            Action::SeeDeparted { at } => self.see_departed(at),
            Action::SeeHealed { at, was_sound } => self.see_healed(at, was_sound),
            Action::ShutdownMustBeOver { at, life } => {
                let node = &self.nodes[at];
                if node.stopping.is_some() && node.machine.life() == life {
                    let what = format!("a shutdown of node {} was not over after {SHUTDOWN_MAX_MS} ms", at + 1);
                    self.world.complain("liveness", what);
                }
            }
        }
    }

    /// The network as the plan has it.
    fn calm(&self) {
        NetSim::current().update_config(|net| configure(&self.plan.network, net));
    }

    fn crash_all(&mut self, power_seed: Option<u64>, down_ms: u64, spread_ms: u64) {
        let all: Vec<u32> = self.machines().map(|machine| machine.number).collect();
        self.crash_some(&all, power_seed, down_ms, spread_ms);
    }

    fn crash_some(&mut self, side: &[u32], power_seed: Option<u64>, down_ms: u64, spread_ms: u64) {
        let count = self.nodes.len() as u64;
        for at in (0..self.nodes.len()).filter(|at| side.contains(&(*at as u32 + 1))) {
            self.crash(at, power_seed.map(|seed| self.power_seed_of(at, seed)));
            // Another one is the first to come back each time.
            let turn = (at as u64 + down_ms) % count;
            self.after_ms(down_ms + spread_ms * turn / count, Action::Restart { at });
        }
    }

    /// What one node loses says nothing of what another does.
    fn power_seed_of(&self, at: usize, seed: u64) -> u64 {
        if at == 0 { seed } else { keyed(seed, &["power".into(), (at as u64).into()]).next_u64() }
    }

    /// Where it was armed to.
    fn goes_down(&mut self, at: usize, armed: Armed) {
        let Armed { power_seed, down_ms, counts_as } = armed;
        self.world.fired(counts_as);
        self.crash(at, power_seed);
        self.after_ms(down_ms, Action::Restart { at });
    }

    fn crash(&mut self, at: usize, power_seed: Option<u64>) {
        self.world.event(format!("node {} crashes, power loss: {power_seed:?}", at + 1));
        let node = &mut self.nodes[at];
        node.ready = false;
        node.stopping = None;
        node.paused = false;
        node.healed = Healed::default();
        node.machine.crash(&self.world, power_seed);
    }

    fn restart(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.machine.is_up() {
            return;
        }
        node.ready = false;
        self.exchange(at);
        let node = &mut self.nodes[at];
        node.machine.restart(&self.world);
        sim::set_skew(node.machine.id, node.skew);
    }

    fn resume(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if std::mem::take(&mut node.paused) {
            self.world.event(format!("node {} goes on", at + 1));
            Handle::current().resume(node.machine.id);
        }
    }

    /// Tells the world who is in peace.
    fn tell_health(&self) {
        let now_ns = now_ns();
        let mut world = self.world.lock();
        if let Some(recording) = &mut world.recording {
            recording.hold("supervisor", now_ns, self.conditions());
        }
        for node in &self.nodes {
            world.health.node(node.machine.number, node.is_well(), now_ns);
            let id = node.machine.id;
            let reached = |client: &NodeId| !self.links.is_cut((*client, id)) && !self.links.is_cut((id, *client));
            world.health.reach(node.machine.number, self.clients.iter().all(reached), now_ns);
            for other in self.machines().filter(|other| other.number < node.machine.number) {
                let (this, there) = (node.machine.id, other.id);
                let hampered = |link| self.links.is_cut(link) || self.is_slow(link);
                let whole = !hampered((this, there)) && !hampered((there, this));
                world.health.link(node.machine.number, other.number, whole, now_ns);
            }
        }
        let calm = self.storms == 0 && Arc::strong_count(&self.transfers) == 1;
        world.health.network(calm, now_ns);
    }

    fn healthy_disk(&self, at: usize) {
        self.nodes[at].disk_steps(Duration::from_micros(self.plan.config.disk_step_us_max));
    }

    fn healthy_disks(&self) {
        (0..self.nodes.len()).for_each(|at| self.healthy_disk(at));
    }
}
