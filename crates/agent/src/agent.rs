use crate::config::Config;
use crate::error::StartError;
use crate::listeners::{Listeners, drain};
use crate::start::{self, Started};
use seedlog_gossip::Gossip;
use seedlog_log::{DataDir, Identity};
use seedlog_raft::{ChangeError, Node, Role, StopReason};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::{JoinHandle, clock};
use seedlog_server::Stopping;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A stop does not wait longer for another leader: the others elect one without it, and may be gone, too.
const HANDOVER_MAX: Duration = Duration::from_secs(1);

/// A running node. Dropping it stops nothing: [`Agent::shutdown`] does.
pub struct Agent {
    identity: Identity,
    rpc_addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    node: Node,
    gossip: Option<Gossip>,
    leave_on_stop: bool,
    stopping: Stopping,
    serving: Mutex<Option<Serving>>,
}

/// What is given back when the node stops, in this order.
struct Serving {
    tasks: Vec<JoinHandle<()>>,
    _data_dir: Arc<Mutex<DataDir>>,
}

impl Agent {
    /// Opens the data directory, starts the node and serves. The node may not lead yet: see
    /// [`Node::ready`]. Until it serves, its ports say what it waits for.
    ///
    /// # Errors
    /// What cannot be had, where, and what to do about it.
    pub async fn start(config: Config, disk: Arc<dyn Disk>) -> Result<Agent, StartError> {
        let started = Agent::start_unless(config, disk, std::future::pending()).await?;
        Ok(started.expect("nobody asked it to stop"))
    }

    /// As [`Agent::start`], and given up when `stop` is ready first, since a node may wait long for a cluster to
    /// join: then there is none, and nothing is left running.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub async fn start_unless(
        config: Config,
        disk: Arc<dyn Disk>,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<Agent>, StartError> {
        let leave_on_stop = config.leave_on_stop;
        let Some(Started { identity, listeners, node, gossip, data_dir }) = start::start(config, disk, stop).await?
        else {
            return Ok(None);
        };
        let Listeners { rpc_addr, http_addr, tasks, stopping } = listeners;
        let serving = Mutex::new(Some(Serving { tasks, _data_dir: data_dir }));
        Ok(Some(Agent { identity, rpc_addr, http_addr, node, gossip, leave_on_stop, stopping, serving }))
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where gRPC is served: the port that was taken if the configuration said 0.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_addr
    }

    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Who is there, if this node gossips.
    pub fn gossip(&self) -> Option<&Gossip> {
        self.gossip.as_ref()
    }

    /// Takes this node out of its cluster, for good, and stops it.
    ///
    /// # Errors
    /// If it is not certain that it was taken out; it is stopped all the same.
    pub async fn leave(&self) -> Result<(), ChangeError> {
        let left = self.go().await;
        self.stop(true).await;
        left
    }

    /// Asks to be taken out, and waits for it.
    async fn go(&self) -> Result<(), ChangeError> {
        if self.node.status().role == Role::Leader {
            // Who is taken out should not be the one who does it.
            self.node.transfer_leader(None).await?;
        }
        self.node.remove_member(self.identity.node_id).await
    }

    /// Resolves when the node has stopped, by itself or by [`Agent::shutdown`].
    pub async fn stopped(&self) -> StopReason {
        self.node.stopped().await
    }

    /// Stops accepting, hands the leadership over, finishes what is in flight, syncs, gives ports and
    /// directory back. A second call returns at once. The others see a restart, not a farewell, unless the
    /// configuration says so.
    pub async fn shutdown(&self) {
        self.stopping.set();
        if self.leave_on_stop
            && let Err(error) = self.go().await
        {
            tracing::warn!(%error, "this node may still be a member");
        }
        self.stop(self.leave_on_stop).await;
    }

    async fn stop(&self, farewell: bool) {
        self.stopping.set();
        let Some(serving) = self.serving.lock().expect("no holder panics").take() else { return };
        let status = self.node.status();
        let others_vote = status.members.iter().any(|member| member.voter && member.node_id != status.node_id);
        if status.role == Role::Leader && others_vote {
            match clock::timeout(HANDOVER_MAX, self.node.transfer_leader(None)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::info!(%error, "the leadership was not handed over: the others elect"),
                Err(_) => tracing::info!("nobody took the leadership over within {HANDOVER_MAX:?}: the others elect"),
            }
        }
        self.node.end_peer_streams();
        drain(serving.tasks).await;
        self.node.shutdown().await;
        match &self.gossip {
            Some(gossip) if farewell => gossip.leave().await,
            Some(gossip) => gossip.stop().await,
            None => {}
        }
        tracing::info!("stopped");
    }
}
