//! Carries out the plan: faults at their times, restarts after them, and the peace at the end.

use crate::machine::{Machine, Signal};
use crate::plan::{At, Fault, Plan};
use crate::workload;
use crate::world::{World, now_ns};
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use seedlog_agent::StopReason;
use seedlog_runtime::disk::sim as disk;
use seedlog_runtime::sim::{self, BlockingTimes, Skew};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// An agent that is asked to stop must have stopped by then, however slow its disk.
const SHUTDOWN_MAX_MS: u64 = 20_000;
/// How long a supervisor waits before it starts a node again that stopped by itself.
const RESTART_DELAY_MS: u64 = 200;

enum Action {
    Begin(Fault),
    Restart,
    PowerLoss { power_seed: u64 },
    EndSlowDisk,
    EndClockRate,
    EndCut,
    EndDiskFull,
    ShutdownMustBeOver,
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
    pub machine: Machine,
    signals: mpsc::UnboundedReceiver<Signal>,
    clients: Vec<NodeId>,
    /// By time in nanoseconds, and by number where times are equal.
    actions: BTreeMap<(u64, u64), Action>,
    planned: u64,
    skew: Skew,
    /// What an armed crash will be, once it hits.
    armed: Option<(Option<u64>, u64)>,
    /// Disk errors seen when the node last stopped by itself: it may stop only for new ones.
    excused: u64,
    ready: bool,
    /// The agent was asked to stop; after that long down, it is started again.
    stopping: Option<u64>,
    /// A bit has flipped: damage is what a start should find.
    rotten: bool,
    refused: bool,
}

impl Supervisor {
    pub fn new(plan: &Plan, world: &World, clients: Vec<NodeId>) -> Supervisor {
        let (sender, signals) = mpsc::unbounded_channel();
        let machine = Machine::build(plan, world, sender);
        let mut supervisor = Supervisor {
            plan: plan.clone(),
            world: world.clone(),
            machine,
            signals,
            clients,
            actions: BTreeMap::new(),
            planned: 0,
            skew: Skew::default(),
            armed: None,
            excused: 0,
            ready: false,
            stopping: None,
            rotten: false,
            refused: false,
        };
        supervisor.healthy_disk();
        for planned in plan.faults.clone() {
            supervisor.at(planned.at_ms * 1_000_000, Action::Begin(planned.fault));
        }
        supervisor
    }

    /// Runs the plan until its trouble is over.
    pub async fn trouble(&mut self) {
        self.run_until(self.plan.trouble_ms * 1_000_000, false).await;
    }

    /// Ends all faults; the node must serve again within `within`.
    pub async fn heal(&mut self, within: Duration) -> bool {
        self.world.event("heal");
        self.actions.clear();
        self.armed = None;
        self.machine.disk.clear_faults();
        self.end_cut();
        self.skew = Skew { rate: 1.0, ..self.skew };
        sim::set_skew(self.machine.id, self.skew);
        self.healthy_disk();
        if !self.machine.is_up() {
            self.restart();
        }
        self.serves_within(within).await
    }

    /// A last power loss, in the middle of the clients' work; then the node must serve again.
    pub async fn last_power_loss(&mut self, power_seed: u64, within: Duration) -> bool {
        self.world.event("last power loss");
        self.crash(Some(power_seed));
        self.at(now_ns() + 50_000_000, Action::Restart);
        self.serves_within(within).await
    }

    /// Flips a synced bit of the log while the node is down, and starts it again.
    pub async fn rot(&mut self, seed: u64, within: Duration) -> Rotten {
        self.crash(None);
        let stores: Vec<_> = self.machine.disk.paths();
        let stores: Vec<_> = stores.into_iter().filter(|path| path.extension().is_some_and(|e| e == "store")).collect();
        let path = &stores[seed as usize % stores.len()];
        let position = self.machine.disk.rot(path, seed);
        self.world.event(format!("a bit of {} rots at {position:?}", path.display()));
        self.rotten = true;
        self.restart();
        match self.serves_within(within).await {
            _ if self.refused => Rotten::Refuses,
            true => Rotten::Serves,
            false => Rotten::Neither,
        }
    }

    /// Whether the node, or a start of it, has given up over the rotten bytes.
    pub fn has_refused(&mut self) -> bool {
        while let Ok(signal) = self.signals.try_recv() {
            self.on(signal);
        }
        self.refused
    }

    async fn serves_within(&mut self, within: Duration) -> bool {
        self.run_until(now_ns() + within.as_nanos() as u64, true).await;
        self.ready
    }

    /// Lets time pass under the eyes of the supervisor.
    pub async fn peace(&mut self, time: Duration) {
        self.run_until(now_ns() + time.as_nanos() as u64, false).await;
    }

    async fn run_until(&mut self, end_ns: u64, until_ready: bool) {
        loop {
            if (until_ready && (self.ready || self.refused)) || self.world.complained() {
                return;
            }
            let next = self.actions.first_key_value().map_or(end_ns, |((at, _), _)| (*at).min(end_ns));
            let wait = madsim::time::sleep(Duration::from_nanos(next.saturating_sub(now_ns())));
            seedlog_runtime::select! {
                signal = self.signals.recv() => self.on(signal.expect("the machine holds a sender")),
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

    fn on(&mut self, signal: Signal) {
        match signal {
            Signal::Ready => self.ready = self.machine.is_up(),
            // Of a life that was ended since.
            _ if !self.machine.is_up() => {}
            Signal::DiskDown => {
                let Some((power_seed, down_ms)) = self.armed.take() else { return };
                self.world.fired("crash_at_disk_op");
                self.crash(power_seed);
                self.after_ms(down_ms, Action::Restart);
            }
            Signal::Stopped(_) | Signal::StartFailed { .. } if self.rotten => {
                self.refused = true;
                self.world.fired("rot_refused");
            }
            Signal::Stopped(StopReason::Shutdown) if self.stopping.is_some() => {
                let down_ms = self.stopping.take().unwrap_or_default();
                self.world.fired("graceful_restart");
                self.crash(None);
                self.after_ms(down_ms, Action::Restart);
            }
            Signal::Stopped(reason) => {
                let errors = self.disk_errors();
                if errors == self.excused {
                    self.world
                        .complain("recovery", format!("the node stopped without a fault of its disk: {reason:?}"));
                }
                self.excused = errors;
                self.world.fired("node_stopped_itself");
                self.crash(None);
                self.after_ms(RESTART_DELAY_MS, Action::Restart);
            }
            Signal::StartFailed { error, damage } => {
                let errors = self.disk_errors();
                if damage || errors == self.excused {
                    self.world.complain("recovery", format!("a start was refused: {error}"));
                }
                self.excused = errors;
                self.world.fired("start_failed");
                self.crash(None);
                self.after_ms(RESTART_DELAY_MS, Action::Restart);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(fault) => self.begin(fault),
            Action::Restart => self.restart(),
            Action::PowerLoss { power_seed } => {
                self.world.event("power loss after a restart");
                self.world.fired("crash_then_power_loss");
                self.crash(Some(power_seed));
                self.after_ms(RESTART_DELAY_MS, Action::Restart);
            }
            Action::EndSlowDisk => self.healthy_disk(),
            Action::EndClockRate => {
                self.skew.rate = 1.0;
                sim::set_skew(self.machine.id, self.skew);
            }
            Action::EndCut => self.end_cut(),
            Action::EndDiskFull => self.machine.disk.set_space_bytes(None),
            Action::ShutdownMustBeOver if self.stopping.is_some() => {
                self.world.complain("liveness", format!("a shutdown was not over after {SHUTDOWN_MAX_MS} ms"));
            }
            Action::ShutdownMustBeOver => {}
        }
    }

    fn begin(&mut self, fault: Fault) {
        self.world.event(format!("fault {fault:?}"));
        let kind = fault.kind();
        match fault {
            Fault::ProcessCrash { down_ms } if self.machine.is_up() => {
                self.world.fired(kind);
                self.crash(None);
                self.after_ms(down_ms, Action::Restart);
            }
            Fault::ProcessCrash { .. } => {}
            Fault::PowerLoss { down_ms, power_seed } => {
                self.world.fired(kind);
                self.crash(Some(power_seed));
                self.after_ms(down_ms, Action::Restart);
            }
            Fault::CrashAtDiskOp { after_ops, at, power_seed, down_ms } => {
                let at = match at {
                    At::Before => disk::CrashAt::Before,
                    At::Inside => disk::CrashAt::Inside,
                    At::After => disk::CrashAt::After,
                };
                self.armed = Some((power_seed, down_ms));
                self.machine.disk.arm_crash(after_ops, at);
            }
            Fault::CrashThenPowerLoss { down_ms, then_ms, power_seed } => {
                self.crash(None);
                self.after_ms(down_ms, Action::Restart);
                self.after_ms(down_ms + then_ms, Action::PowerLoss { power_seed });
            }
            // What the disk does is counted by the disk, when it does it.
            Fault::SyncError { path, skip } => self.inject(disk::FaultKind::SyncError, Some(path), skip, 1),
            Fault::WriteError { path, skip } => self.inject(disk::FaultKind::WriteError, Some(path), skip, 1),
            Fault::ReadError { path, skip } => self.inject(disk::FaultKind::ReadError, Some(path), skip, 1),
            Fault::ShortWrites { times } => self.inject(disk::FaultKind::ShortWrite, None, 0, times),
            Fault::SlowDisk { for_ms, step_ms_max } => {
                self.world.fired(kind);
                self.disk_steps(Duration::from_millis(step_ms_max));
                self.after_ms(for_ms, Action::EndSlowDisk);
            }
            Fault::ClockJump { by_ms } => {
                self.world.fired(kind);
                self.skew.wall_offset_ms += by_ms;
                sim::set_skew(self.machine.id, self.skew);
            }
            Fault::ClockRate { per_mille, for_ms } => {
                self.world.fired(kind);
                self.skew.rate = f64::from(per_mille) / 1_000.0;
                sim::set_skew(self.machine.id, self.skew);
                self.after_ms(for_ms, Action::EndClockRate);
            }
            Fault::GracefulRestart { down_ms } => {
                let (Some(agent), None) = (self.world.agent(), self.stopping) else { return };
                let Some(node) = Handle::current().get_node(self.machine.id) else { return };
                self.stopping = Some(down_ms);
                drop(node.spawn(async move { agent.shutdown().await }));
                self.after_ms(SHUTDOWN_MAX_MS, Action::ShutdownMustBeOver);
            }
            Fault::CrashInTrim { after_ops, power_seed, down_ms } => {
                if !self.ready {
                    return;
                }
                self.world.fired(kind);
                let first_offset = self.world.lock().history.acked_next_offset();
                drop(tokio::spawn(workload::trim(self.world.clone(), self.machine.id, first_offset)));
                self.armed = Some((power_seed, down_ms));
                self.machine.disk.arm_crash(after_ops, disk::CrashAt::Inside);
            }
            Fault::DiskFull { for_ms, free_bytes } => {
                self.world.fired(kind);
                let disk = &self.machine.disk;
                disk.set_space_bytes(Some(disk.used_bytes() + free_bytes));
                self.after_ms(for_ms, Action::EndDiskFull);
            }
            Fault::CutClients { for_ms } => {
                self.world.fired(kind);
                for client in &self.clients {
                    NetSim::current().clog_link(*client, self.machine.id);
                    NetSim::current().clog_link(self.machine.id, *client);
                }
                self.after_ms(for_ms, Action::EndCut);
            }
        }
    }

    fn crash(&mut self, power_seed: Option<u64>) {
        self.world.event(format!("node crashes, power loss: {power_seed:?}"));
        self.ready = false;
        self.stopping = None;
        self.machine.crash(&self.world, power_seed);
    }

    fn restart(&mut self) {
        if self.machine.is_up() {
            return;
        }
        self.ready = false;
        self.machine.restart(&self.world);
        sim::set_skew(self.machine.id, self.skew);
    }

    fn inject(&mut self, kind: disk::FaultKind, path_suffix: Option<String>, skip: u64, times: u64) {
        self.machine.disk.inject(disk::Fault { kind, path_suffix, skip, times });
    }

    /// Errors that the disk has given so far; each may stop the node, or keep it from starting.
    fn disk_errors(&self) -> u64 {
        let fired = self.machine.disk.fired();
        ["sync_error", "sync_dir_error", "write_error", "read_error"].iter().filter_map(|name| fired.get(name)).sum()
    }

    fn healthy_disk(&mut self) {
        self.disk_steps(Duration::from_micros(self.plan.config.disk_step_us_max));
    }

    fn disk_steps(&mut self, longest: Duration) {
        let range = Duration::from_micros(10)..=longest.max(Duration::from_micros(11));
        sim::set_blocking(self.machine.id, BlockingTimes { before: range.clone(), after: range });
    }

    fn end_cut(&mut self) {
        for client in &self.clients {
            NetSim::current().unclog_link(*client, self.machine.id);
            NetSim::current().unclog_link(self.machine.id, *client);
        }
    }
}
