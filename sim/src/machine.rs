//! The machine under test: one node with a disk of its own, that can crash, lose power, and come back.

use crate::plan::Plan;
use crate::world::World;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use seedlog_agent::{Agent, StartError, StopReason};
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::sim;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub const NODE_ADDR: &str = "10.0.0.1:8400";

/// What the machine tells its supervisor.
#[derive(Debug)]
pub enum Signal {
    /// It serves.
    Ready,
    /// An armed crash has hit: inside a disk operation.
    DiskDown,
    /// The agent stopped by itself.
    Stopped(StopReason),
    StartFailed {
        error: String,
        damage: bool,
    },
}

pub struct Machine {
    pub id: NodeId,
    pub disk: SimDisk,
    up: bool,
}

impl Machine {
    /// Switches it on for the first time.
    pub fn build(plan: &Plan, world: &World, signals: mpsc::UnboundedSender<Signal>) -> Machine {
        let disk = SimDisk::new(plan.seed);
        let observer = world.clone();
        disk.observe(Box::new(move |event| {
            observer.event(format!(
                "disk {} {} at {} length {} content {:x}: {:?}",
                event.operation,
                event.path.display(),
                event.position,
                event.length,
                event.content,
                event.result
            ));
        }));
        let config = agent_config(plan);
        let (node_disk, node_world, node_signals) = (disk.clone(), world.clone(), signals.clone());
        let node = Handle::current()
            .create_node()
            .name("node-1")
            .ip("10.0.0.1".parse().expect("an address"))
            .init(move || life(config.clone(), node_disk.clone(), node_world.clone(), node_signals.clone()))
            .build();
        let id = node.id();
        disk.on_down(Box::new(move || {
            sim::halt(id);
            // The supervisor is gone only when the run is over.
            let _ = signals.send(Signal::DiskDown);
        }));
        Machine { id, disk, up: true }
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    /// The process goes, and with `power_seed` the power too. Whoever ran there answers nobody any more.
    pub fn crash(&mut self, world: &World, power_seed: Option<u64>) {
        world.crashing();
        sim::halt(self.id);
        Handle::current().kill(self.id);
        self.up = false;
        match power_seed {
            Some(seed) => self.disk.power_loss(seed),
            None => self.disk.crash_process(),
        }
    }

    pub fn restart(&mut self, world: &World) {
        world.event("node restarts");
        sim::unhalt(self.id);
        Handle::current().restart(self.id);
        self.up = true;
    }
}

fn agent_config(plan: &Plan) -> seedlog_agent::Config {
    let mut config = seedlog_agent::Config::new("/data".into(), NODE_ADDR.parse().expect("an address"));
    config.in_flight_bytes_max = plan.config.in_flight_bytes_max;
    config.reserve_bytes = plan.config.reserve_bytes;
    config.limits.batch_bytes_max = 64 << 10;
    config.limits.record_bytes_max = 16 << 10;
    config.heartbeat = Duration::from_millis(plan.config.heartbeat_ms);
    config.log = seedlog_log::Config {
        segment_bytes_max: plan.config.segment_bytes_max,
        index_rows_max: plan.config.index_rows_max,
        prewrite_bytes: plan.config.prewrite_bytes,
        start_check_bytes_max: plan.config.start_check_bytes_max,
        ..Default::default()
    };
    config
}

/// From start to stop: what an orchestrator would run.
async fn life(config: seedlog_agent::Config, disk: SimDisk, world: World, signals: mpsc::UnboundedSender<Signal>) {
    let started = Agent::start(config, Arc::new(disk)).await;
    let signal = match started {
        Ok(agent) => {
            let agent = Arc::new(agent);
            world.event("node started");
            world.lock().agent = Some(agent.clone());
            let ready = async {
                if agent.node().ready().await.is_ok() {
                    let range = agent.node().range();
                    world.event(format!("node is ready, with offsets {}..{}", range.0, range.1));
                    world.restarted(range);
                    let _ = signals.send(Signal::Ready);
                }
                std::future::pending::<StopReason>().await
            };
            let stopped = seedlog_runtime::select! {
                reason = agent.stopped() => reason,
                reason = ready => reason,
            };
            world.event(format!("node stopped: {stopped:?}"));
            Signal::Stopped(stopped)
        }
        Err(error) => {
            world.event(format!("node did not start: {error}"));
            Signal::StartFailed { damage: is_damage(&error), error: error.to_string() }
        }
    };
    let _ = signals.send(signal);
    // The supervisor decides what comes next; a process that ended by itself would confuse madsim.
    std::future::pending::<()>().await;
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
