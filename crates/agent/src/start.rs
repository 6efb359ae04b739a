//! From a configuration to a node that serves. The ports are served from when they are bound: with why there is
//! no log yet, until there is one.

use crate::autopilot;
use crate::config::{BATCH_OVERHEAD_BYTES, Config};
use crate::error::StartError;
use crate::formation::{self, Formation};
use crate::hearsay::Gossiped;
use crate::listeners::{Bound, Listeners};
use crate::membership::{follow_addresses, note_member};
use rand::Rng;
use seedlog_gossip::{Gossip, Member};
use seedlog_log::{DataDir, Identity};
use seedlog_raft::{Node, NodeConfig, Outside, Repairing};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::udp::Socket;
use seedlog_runtime::{select, watch};
use seedlog_server::{Front, Hearsay, NoHearsay, Service, Stopping};
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};

pub struct Started {
    pub identity: Identity,
    pub listeners: Listeners,
    pub node: Node,
    pub gossip: Option<Gossip>,
    pub data_dir: Arc<Mutex<DataDir>>,
}

/// None if `stop` was ready first.
pub async fn start(
    config: Config,
    disk: Arc<dyn Disk>,
    stop: impl Future<Output = ()>,
) -> Result<Option<Started>, StartError> {
    config.check()?;
    // First what belongs to one process only, so that two of them on one directory are told so,
    // and not that a port is in use. A directory that is none yet becomes one after all that can
    // be refused was not.
    let known = is_data_dir(&config, disk.clone()).await?;
    let told_what_to_do = config.bootstrap || !config.join.is_empty() || !config.bootstrap_expect.is_empty();
    if !known && !told_what_to_do {
        return Err(nothing_to_join(&config));
    }
    let opened = if known { Some(open_data_dir(&config, disk.clone()).await?) } else { None };
    let bound = Bound::bind(&config).await?;
    let socket = match config.gossip_addr {
        Some(addr) => {
            let socket = Socket::bind(addr).await;
            Some(socket.map_err(|error| StartError::Listen { what: "gossip", addr, error })?)
        }
        None => None,
    };
    let advertised = bound.advertised(&config);
    let stopping = Stopping::default();
    let front = Front::new(&advertised, "it opens its data directory", stopping.clone());
    let listeners = bound.serve(&front, stopping.clone());
    let begun = select! {
        begun = begin(&config, disk, opened, socket, &advertised, front, stopping) => begun.map(Some),
        () = stop => Ok(None),
    };
    match begun {
        Ok(Some((identity, node, gossip, data_dir))) => {
            let (rpc_addr, http_addr) = (listeners.rpc_addr, listeners.http_addr);
            let data_dir_shown = config.data_dir.display();
            tracing::info!(%rpc_addr, ?http_addr, node_id = identity.node_id, data_dir = %data_dir_shown, "serving");
            Ok(Some(Started { identity, listeners, node, gossip, data_dir }))
        }
        Ok(None) => {
            listeners.stop().await;
            Ok(None)
        }
        Err(error) => {
            listeners.stop().await;
            Err(error)
        }
    }
}

type Begun = (Identity, Node, Option<Gossip>, Arc<Mutex<DataDir>>);

async fn begin(
    config: &Config,
    disk: Arc<dyn Disk>,
    opened: Option<DataDir>,
    socket: Option<Socket>,
    advertised: &str,
    front: Front,
    stopping: Stopping,
) -> Result<Begun, StartError> {
    let mut data_dir = match opened {
        Some(data_dir) => data_dir,
        None => open_data_dir(config, disk.clone()).await?,
    };
    let gossip = match socket {
        Some(socket) => Some(start_gossip(config, &data_dir, socket, advertised)?),
        None => None,
    };
    let mut begins = config.bootstrap && !data_dir.has_joined();
    if data_dir.identity().cluster_id == 0 {
        let joined = match &gossip {
            Some(gossip) => form(config, gossip, &front).await,
            None if config.bootstrap => None,
            None => return Err(nothing_to_join(config)),
        };
        begins = joined.is_none();
        let cluster_id = joined.unwrap_or_else(fresh_cluster_id);
        let set = move || data_dir.set_cluster(cluster_id, joined.is_some()).map(|()| data_dir);
        data_dir = seedlog_runtime::blocking(set).await?;
        if let Some(gossip) = &gossip {
            gossip.set_cluster_id(cluster_id);
        }
    }
    front.is_about("it reads its log".to_owned());
    let identity = data_dir.identity();
    let mut node_config = node_config(config, identity, advertised.to_owned());
    node_config.bootstrap = begins;
    node_config.log.create &= !data_dir.has_log();
    let outside = Outside { hears: gossip.is_some(), tally: front.tally().clone(), ..Outside::default() };
    if let Some(gossip) = &gossip {
        let following = follow_addresses(outside.addresses.clone(), identity.cluster_id, gossip.members());
        drop(seedlog_runtime::spawn(following));
    }
    let repairing = outside.repairing.subscribe();
    let node = select! {
        node = Node::start_within(disk, data_dir.group_dir(), node_config, outside) => node?,
        never = show_repair(&front, repairing) => match never {},
    };
    // A log that was begun and whose cluster was not: the first start was cut short.
    if !begins && node.is_pristine() && gossip.is_none() {
        node.shutdown().await;
        return Err(nothing_to_join(config));
    }
    let data_dir = seedlog_runtime::blocking(move || data_dir.note_log().map(|()| data_dir)).await?;
    let data_dir = Arc::new(Mutex::new(data_dir));
    drop(seedlog_runtime::spawn(note_member(node.clone(), data_dir.clone(), gossip.clone())));
    if let Some(gossip) = &gossip {
        let (seen, grace) = (gossip.members(), config.dead_server_grace);
        drop(seedlog_runtime::spawn(autopilot::follow(node.clone(), seen, grace)));
    }
    let hearsay: Box<dyn Hearsay> = match &gossip {
        Some(gossip) => Box::new(Gossiped(gossip.members())),
        None => Box::new(NoHearsay),
    };
    let limits = config.limits.clone();
    let service = Service::new(node.clone(), identity.cluster_id, advertised.to_owned(), limits, stopping, hearsay);
    front.open(service, |services| seedlog_raft::add_peer_service(services, node.clone()));
    Ok((identity, node, gossip, data_dir))
}

/// Whoever asks is told how the repair goes, and other nodes are given what this one has.
async fn show_repair(front: &Front, mut repairing: watch::Receiver<Option<Repairing>>) -> Infallible {
    loop {
        let shown = repairing.borrow_and_update().clone();
        if let Some(repairing) = shown {
            front.is_about(repairing.about.clone());
            front.also_serve(|services| seedlog_raft::add_lending_service(services, &repairing));
        }
        if repairing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn nothing_to_join(config: &Config) -> StartError {
    StartError::NothingToJoin { data_dir: config.data_dir.clone() }
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

/// Waits until it is clear what this node belongs to: the cluster joined, or none if it is to begin one. Whoever
/// asks meanwhile is told what it waits for.
async fn form(config: &Config, gossip: &Gossip, front: &Front) -> Option<u128> {
    let mut seen = gossip.members();
    let mut said = String::new();
    loop {
        let members = seen.borrow_and_update().clone();
        match formation::decide(config, &members) {
            Formation::Begin => return None,
            Formation::Join(cluster_id) => return Some(cluster_id),
            Formation::Wait(what) => {
                if what != said {
                    tracing::info!("this node belongs to no cluster yet; it waits for {what}");
                }
                let asked = formation::asked(config, &members);
                front.is_about(format!("it belongs to no cluster, and waits for {what}{asked}"));
                said = what;
            }
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
        scrub_bytes_per_s: config.scrub_bytes_per_s,
        scrub_pause: config.scrub_pause,
        node_name: config.node_name.clone(),
        ..NodeConfig::new(identity.node_id, identity.cluster_id, rpc_addr)
    }
}
