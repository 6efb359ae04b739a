use crate::config::{BATCH_OVERHEAD_BYTES, Config};
use crate::error::StartError;
use rand::Rng;
use seedlog_log::{DataDir, Identity};
use seedlog_raft::{Node, NodeConfig, StopReason};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::rpc::{Listener, Services};
use seedlog_runtime::{JoinHandle, clock};
use seedlog_server::{Service, Stopping};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is still being answered when a node stops has this long: over gRPC the listener sees to it
/// itself, a moment earlier.
const DRAIN_MAX: Duration = seedlog_runtime::rpc::DRAIN_MAX.saturating_add(Duration::from_millis(500));

/// A running node. Dropping it stops nothing: [`Agent::shutdown`] does.
pub struct Agent {
    identity: Identity,
    rpc_addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    node: Node,
    stopping: Stopping,
    serving: Mutex<Option<Serving>>,
}

/// What is given back when the node stops, in this order.
struct Serving {
    tasks: Vec<JoinHandle<()>>,
    _data_dir: DataDir,
}

impl Agent {
    /// Opens the data directory, starts the node and serves. The node may not lead yet: see
    /// [`Node::ready`].
    ///
    /// # Errors
    /// What cannot be had, where, and what to do about it.
    pub async fn start(config: Config, disk: Arc<dyn Disk>) -> Result<Agent, StartError> {
        config.check()?;
        // First what belongs to one process only, so that two of them on one directory are told so,
        // and not that a port is in use. A directory that is none yet becomes one after all that can
        // be refused was not.
        let known = is_data_dir(&config, disk.clone()).await?;
        let nothing_to_join = || StartError::NothingToJoin { data_dir: config.data_dir.clone() };
        if !known && !config.bootstrap {
            return Err(nothing_to_join());
        }
        let opened = if known { Some(open_data_dir(&config, disk.clone()).await?) } else { None };
        let rpc = Listener::bind(config.rpc_addr).await.map_err(|error| StartError::Listen {
            what: "gRPC",
            addr: config.rpc_addr,
            error,
        })?;
        let rpc_addr = rpc.local_addr();
        #[cfg(feature = "http")]
        let http = match config.http_addr {
            Some(addr) => Some(crate::http::bind(addr).await?),
            None => None,
        };

        let mut data_dir = match opened {
            Some(data_dir) => data_dir,
            None => open_data_dir(&config, disk.clone()).await?,
        };
        let identity = data_dir.identity();
        let mut node_config = node_config(&config, identity, rpc_addr);
        node_config.log.create &= !data_dir.has_log();
        let node = Node::start(disk, data_dir.group_dir(), node_config).await?;
        // A log that was begun and whose cluster was not: the first start was cut short.
        if !config.bootstrap && node.is_pristine() {
            node.shutdown().await;
            return Err(nothing_to_join());
        }
        let data_dir = seedlog_runtime::blocking(move || data_dir.note_log().map(|()| data_dir)).await?;
        let stopping = Stopping::default();
        let service =
            Service::new(node.clone(), identity.cluster_id, rpc_addr.to_string(), config.limits, stopping.clone());
        let services = seedlog_server::add_log(Services::new(), service.clone());
        let services = seedlog_server::add_standard(services, &service);
        let rpc_stopping = stopping.clone();
        let rpc_task = seedlog_runtime::spawn(async move {
            if let Err(error) = rpc.serve(services, async move { rpc_stopping.wait().await }).await {
                tracing::error!(%error, "the gRPC server has stopped");
            }
        });
        #[cfg(feature = "http")]
        let (tasks, http_addr) = match http {
            Some(http) => {
                let addr = http.local_addr();
                (vec![rpc_task, crate::http::serve(http, service)], Some(addr))
            }
            None => (vec![rpc_task], None),
        };
        #[cfg(not(feature = "http"))]
        let (tasks, http_addr) = (vec![rpc_task], None);
        tracing::info!(%rpc_addr, ?http_addr, node_id = identity.node_id, data_dir = %config.data_dir.display(), "serving");
        let serving = Mutex::new(Some(Serving { tasks, _data_dir: data_dir }));
        Ok(Agent { identity, rpc_addr, http_addr, node, stopping, serving })
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

    /// Resolves when the node has stopped, by itself or by [`Agent::shutdown`].
    pub async fn stopped(&self) -> StopReason {
        self.node.stopped().await
    }

    /// Stops accepting, finishes what is in flight, syncs, gives ports and directory back. A second
    /// call returns at once.
    pub async fn shutdown(&self) {
        self.stopping.set();
        let Some(serving) = self.serving.lock().expect("no holder panics").take() else { return };
        for task in serving.tasks {
            let abort = task.abort_handle();
            if clock::timeout(DRAIN_MAX, task).await.is_err() {
                tracing::warn!("still being answered after {DRAIN_MAX:?}: cut off");
                abort.abort();
            }
        }
        self.node.shutdown().await;
        tracing::info!("stopped");
    }
}

async fn is_data_dir(config: &Config, disk: Arc<dyn Disk>) -> Result<bool, StartError> {
    let root = config.data_dir.clone();
    Ok(seedlog_runtime::blocking(move || DataDir::is_one(&*disk, &root)).await?)
}

async fn open_data_dir(config: &Config, disk: Arc<dyn Disk>) -> Result<DataDir, StartError> {
    let root = config.data_dir.clone();
    let mut random = seedlog_runtime::rng("identity");
    let fresh = move || Identity {
        cluster_id: u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()),
        // Zero would read as "none" in a message.
        node_id: random.next_u64().max(1),
    };
    Ok(seedlog_runtime::blocking(move || DataDir::open(&disk, &root, fresh)).await?)
}

fn node_config(config: &Config, identity: Identity, rpc_addr: SocketAddr) -> NodeConfig {
    let mut log = config.log.clone();
    if log.salt == 0 {
        log.salt = seedlog_runtime::rng("salt").next_u64();
    }
    NodeConfig {
        log,
        heartbeat: config.heartbeat,
        // The batch as the API measures it, and the few bytes around it.
        produce_bytes_max: config.limits.batch_bytes_max + BATCH_OVERHEAD_BYTES as usize,
        in_flight_bytes_max: config.in_flight_bytes_max,
        reserve_bytes: config.reserve_bytes,
        bootstrap: config.bootstrap,
        ..NodeConfig::new(identity.node_id, identity.cluster_id, rpc_addr.to_string())
    }
}
