use crate::autopilot;
use crate::config::{BATCH_OVERHEAD_BYTES, Config};
use crate::error::StartError;
use crate::formation::{self, Formation};
use crate::membership::{follow_addresses, note_member};
use rand::Rng;
use seedlog_gossip::{Gossip, Member};
use seedlog_log::{DataDir, Identity};
use seedlog_raft::{ChangeError, Node, NodeConfig, Role, StopReason};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::rpc::{Listener, Services};
use seedlog_runtime::udp::Socket;
use seedlog_runtime::{JoinHandle, clock};
use seedlog_server::{Service, Stopping};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is still being answered when a node stops has this long: over gRPC the listener sees to it
/// itself, a moment earlier.
const DRAIN_MAX: Duration = seedlog_runtime::rpc::DRAIN_MAX.saturating_add(Duration::from_millis(500));

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
        let told_what_to_do = config.bootstrap || !config.join.is_empty() || !config.bootstrap_expect.is_empty();
        if !known && !told_what_to_do {
            return Err(nothing_to_join());
        }
        let opened = if known { Some(open_data_dir(&config, disk.clone()).await?) } else { None };
        let listen = |what, addr| move |error| StartError::Listen { what, addr, error };
        let rpc = Listener::bind(config.rpc_addr).await.map_err(listen("gRPC", config.rpc_addr))?;
        let rpc_addr = rpc.local_addr();
        #[cfg(feature = "http")]
        let http = match config.http_addr {
            Some(addr) => Some(crate::http::bind(addr).await?),
            None => None,
        };
        let socket = match config.gossip_addr {
            Some(addr) => Some(Socket::bind(addr).await.map_err(listen("gossip", addr))?),
            None => None,
        };

        let mut data_dir = match opened {
            Some(data_dir) => data_dir,
            None => open_data_dir(&config, disk.clone()).await?,
        };
        let advertised = config.rpc_advertised.as_ref().map_or_else(
            || rpc_addr.to_string(),
            |host| match host.parse::<IpAddr>() {
                // An IPv6 address has brackets.
                Ok(ip) => SocketAddr::new(ip, rpc_addr.port()).to_string(),
                Err(_) => format!("{host}:{}", rpc_addr.port()),
            },
        );
        let gossip = match socket {
            Some(socket) => Some(start_gossip(&config, &data_dir, socket, &advertised)?),
            None => None,
        };
        let mut begins = config.bootstrap && !data_dir.has_joined();
        if data_dir.identity().cluster_id == 0 {
            let joined = match &gossip {
                Some(gossip) => form(&config, gossip).await,
                None if config.bootstrap => None,
                None => return Err(nothing_to_join()),
            };
            begins = joined.is_none();
            let cluster_id = joined.unwrap_or_else(fresh_cluster_id);
            let set = move || data_dir.set_cluster(cluster_id, joined.is_some()).map(|()| data_dir);
            data_dir = seedlog_runtime::blocking(set).await?;
            if let Some(gossip) = &gossip {
                gossip.set_cluster_id(cluster_id);
            }
        }
        let identity = data_dir.identity();
        let mut node_config = node_config(&config, identity, advertised.clone());
        node_config.bootstrap = begins;
        node_config.log.create &= !data_dir.has_log();
        let node = Node::start(disk, data_dir.group_dir(), node_config).await?;
        // A log that was begun and whose cluster was not: the first start was cut short.
        if !begins && node.is_pristine() && gossip.is_none() {
            node.shutdown().await;
            return Err(nothing_to_join());
        }
        let data_dir = seedlog_runtime::blocking(move || data_dir.note_log().map(|()| data_dir)).await?;
        let data_dir = Arc::new(Mutex::new(data_dir));
        drop(seedlog_runtime::spawn(note_member(node.clone(), data_dir.clone(), gossip.clone())));
        if let Some(gossip) = &gossip {
            let (seen, grace) = (gossip.members(), config.dead_server_grace);
            drop(seedlog_runtime::spawn(follow_addresses(node.clone(), identity.cluster_id, seen.clone())));
            drop(seedlog_runtime::spawn(autopilot::follow(node.clone(), seen, grace)));
        }
        let stopping = Stopping::default();
        let service = Service::new(node.clone(), identity.cluster_id, advertised, config.limits, stopping.clone());
        let services = seedlog_server::add_log(Services::new(), service.clone());
        let services = seedlog_server::add_standard(services, &service);
        let services = seedlog_raft::add_peer_service(services, node.clone());
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
        let leave_on_stop = config.leave_on_stop;
        Ok(Agent { identity, rpc_addr, http_addr, node, gossip, leave_on_stop, stopping, serving })
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
        for task in serving.tasks {
            let abort = task.abort_handle();
            if clock::timeout(DRAIN_MAX, task).await.is_err() {
                tracing::warn!("still being answered after {DRAIN_MAX:?}: cut off");
                abort.abort();
            }
        }
        self.node.shutdown().await;
        match &self.gossip {
            Some(gossip) if farewell => gossip.leave().await,
            Some(gossip) => gossip.stop().await,
            None => {}
        }
        tracing::info!("stopped");
    }
}

/// This node's part in the gossip.
fn start_gossip(config: &Config, data_dir: &DataDir, socket: Socket, rpc_addr: &str) -> Result<Gossip, StartError> {
    let Identity { cluster_id, node_id } = data_dir.identity();
    let mut gossip_addr = socket.local_addr();
    if let Some(ip) = config.gossip_advertised {
        gossip_addr.set_ip(ip);
    }
    let me = Member {
        node_id,
        name: config.node_name.clone(),
        rpc_addr: rpc_addr.to_owned(),
        gossip_addr,
        cluster_id,
        joining: !data_dir.was_member(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let config = seedlog_gossip::Config { join: config.join.clone(), ..seedlog_gossip::Config::new(me) };
    Ok(Gossip::start(socket, config)?)
}

/// Waits until it is clear what this node belongs to: the cluster joined, or none if it is to begin one.
/// Its ports are bound meanwhile and nothing is served yet, so that a probe waits for its answer, too: missing.
async fn form(config: &Config, gossip: &Gossip) -> Option<u128> {
    let mut seen = gossip.members();
    let mut said = String::new();
    loop {
        let members = seen.borrow_and_update().clone();
        match formation::decide(config, &members) {
            Formation::Begin => return None,
            Formation::Join(cluster_id) => return Some(cluster_id),
            Formation::Wait(what) if what != said => {
                tracing::info!("this node belongs to no cluster yet; it waits for {what}");
                said = what;
            }
            Formation::Wait(_) => {}
        }
        if seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn fresh_cluster_id() -> u128 {
    let mut random = seedlog_runtime::rng("cluster id");
    // Zero says that there is none.
    (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).max(1)
}

async fn is_data_dir(config: &Config, disk: Arc<dyn Disk>) -> Result<bool, StartError> {
    let root = config.data_dir.clone();
    Ok(seedlog_runtime::blocking(move || DataDir::is_one(&*disk, &root)).await?)
}

async fn open_data_dir(config: &Config, disk: Arc<dyn Disk>) -> Result<DataDir, StartError> {
    let root = config.data_dir.clone();
    let mut random = seedlog_runtime::rng("identity");
    let fresh = move || Identity {
        // Not known yet.
        cluster_id: 0,
        // Zero would read as "none" in a message.
        node_id: random.next_u64().max(1),
    };
    Ok(seedlog_runtime::blocking(move || DataDir::open(&disk, &root, fresh)).await?)
}

fn node_config(config: &Config, identity: Identity, rpc_addr: String) -> NodeConfig {
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
        node_name: config.node_name.clone(),
        ..NodeConfig::new(identity.node_id, identity.cluster_id, rpc_addr)
    }
}
