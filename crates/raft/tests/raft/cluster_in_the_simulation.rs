//! Three nodes over the simulated network: what one takes, all have.
#![cfg(madsim)]

use bytes::Bytes;
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use seedlog_raft::{ChangeError, Node, NodeConfig, Peer, ProduceError, Role, add_peer_service};
use seedlog_runtime::disk::{Disk as _, SimDisk};
use seedlog_runtime::rpc::{Listener, Services};
use seedlog_runtime::sim::{AnyMessage, Call, Versions, set_versions};
use seedlog_runtime::{clock, select};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NODES: u64 = 3;
const RESERVE_BYTES: u64 = 256 << 10;

fn address(node_id: u64) -> String {
    format!("10.0.0.{node_id}:8400")
}

#[derive(Clone)]
struct Machine {
    id: NodeId,
    disk: SimDisk,
    running: Arc<Mutex<Option<Node>>>,
}

impl Machine {
    fn build(node_id: u64) -> Machine {
        let disk = SimDisk::new(node_id);
        let running: Arc<Mutex<Option<Node>>> = Arc::default();
        let (its_disk, its_running) = (disk.clone(), running.clone());
        let host: NodeHandle = Handle::current()
            .create_node()
            .ip(format!("10.0.0.{node_id}").parse().unwrap())
            .init(move || live(node_id, its_disk.clone(), its_running.clone()))
            .build();
        Machine { id: host.id(), disk, running }
    }

    fn kill(&self) {
        Handle::current().kill(self.id);
        *self.running.lock().unwrap() = None;
        self.disk.power_loss(1);
    }

    async fn node(&self) -> Node {
        loop {
            if let Some(node) = self.running.lock().unwrap().clone() {
                return node;
            }
            clock::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs there what a client of the node's would cause.
    async fn produce(&self, text: &str) -> u64 {
        let (node, record) = (self.node().await, Bytes::from(text.to_owned()));
        let host = Handle::current().get_node(self.id).unwrap();
        host.spawn(async move { node.produce(vec![record]).await.unwrap().first_offset }).await.unwrap()
    }

    /// As [`Machine::produce`], and not repeated: whether it was taken.
    async fn try_produce(&self, text: &str) -> Result<u64, ProduceError> {
        let (node, record) = (self.node().await, Bytes::from(text.to_owned()));
        let host = Handle::current().get_node(self.id).unwrap();
        host.spawn(async move { Ok(node.produce(vec![record]).await?.first_offset) }).await.unwrap()
    }

    /// Somebody else fills the disk, but for half of what is kept back.
    fn fill_disk(&self) {
        self.disk.set_space_bytes(Some(self.disk.used_bytes() + RESERVE_BYTES / 2));
    }

    async fn read(&self, offset: u64) -> Bytes {
        let node = self.node().await;
        let host = Handle::current().get_node(self.id).unwrap();
        host.spawn(async move { node.read(offset, 1, 1).await.unwrap()[0].bytes.clone() }).await.unwrap()
    }
}

async fn live(node_id: u64, disk: SimDisk, running: Arc<Mutex<Option<Node>>>) {
    let listener = Listener::bind(address(node_id)).await.unwrap();
    let mut config = NodeConfig::new(node_id, 7, address(node_id));
    config.bootstrap = node_id == 1;
    config.log.segment_bytes_max = 2048;
    config.log.index_rows_max = 16;
    config.reserve_bytes = RESERVE_BYTES;
    config.tail_bytes_max = 300;
    let node = Node::start(Arc::new(disk), "/groups/0".into(), config).await.unwrap();
    *running.lock().unwrap() = Some(node.clone());
    listener.serve(add_peer_service(Services::new(), node), std::future::pending()).await.unwrap();
}

async fn cluster() -> Vec<Machine> {
    let machines: Vec<Machine> = (1..=NODES).map(Machine::build).collect();
    let first = machines[0].node().await;
    first.ready().await.unwrap();
    let host = Handle::current().get_node(machines[0].id).unwrap();
    let grown = host.spawn(async move {
        for node_id in 2..=NODES {
            let peer = Peer { name: format!("node-{node_id}"), rpc_addr: address(node_id) };
            first.add_learner(node_id, peer).await.unwrap();
        }
        first.change_voters(BTreeSet::from_iter(1..=NODES), BTreeSet::new()).await.unwrap();
    });
    grown.await.unwrap();
    machines
}

async fn leader(machines: &[Machine]) -> usize {
    loop {
        let nodes: Vec<Option<Node>> = machines.iter().map(|m| m.running.lock().unwrap().clone()).collect();
        let leads = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.status().role == Role::Leader);
        if let Some(at) = nodes.iter().position(leads) {
            return at;
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_any_node_takes_is_read_from_every_other() {
    let machines = cluster().await;
    for (at, machine) in machines.iter().enumerate() {
        assert_eq!(machine.produce(&format!("record {at}")).await, at as u64);
    }
    for machine in &machines {
        for offset in 0..NODES {
            assert_eq!(machine.read(offset).await, format!("record {offset}"));
        }
    }
}

#[tokio::test]
async fn what_was_acked_survives_the_leader_and_a_new_one_goes_on() {
    let machines = cluster().await;
    for number in 0..200 {
        assert_eq!(machines[number % 3].produce(&format!("record {number}")).await, number as u64);
    }
    for round in 0..6 {
        let killed = leader(&machines).await;
        machines[killed].kill();
        let next = 200 + round;
        let leads = leader(&machines).await;
        assert_eq!(machines[leads].produce(&format!("record {next}")).await, next);
        Handle::current().restart(machines[killed].id);
        // A record that only it answers: it has caught up with the new leader.
        for offset in [0, 150, next] {
            assert_eq!(machines[killed].read(offset).await, format!("record {offset}"), "round {round}");
        }
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_answers_no_miss_and_takes_no_record() {
    let machines = cluster().await;
    machines[0].produce("record 0").await;
    let cut = leader(&machines).await;
    for other in (0..3).filter(|other| *other != cut) {
        NetSim::current().clog_link(machines[cut].id, machines[other].id);
        NetSim::current().clog_link(machines[other].id, machines[cut].id);
    }
    let host = Handle::current().get_node(machines[cut].id).unwrap();
    let node = machines[cut].node().await;
    let alone = host.spawn(async move {
        let produced = node.produce(vec![Bytes::from_static(b"alone")]).await;
        assert!(produced.is_err(), "{produced:?}");
        let missed = node.read(1, 1, 1).await;
        assert!(!matches!(missed, Err(seedlog_raft::ReadError::OutOfRange { .. })), "{missed:?}");
    });
    assert_eq!(machines[(cut + 1) % 3].produce("record 1").await, 1);
    alone.await.unwrap();
    for other in (0..3).filter(|other| *other != cut) {
        NetSim::current().unclog_link(machines[cut].id, machines[other].id);
        NetSim::current().unclog_link(machines[other].id, machines[cut].id);
    }
    assert_eq!(machines[cut].read(1).await, "record 1");
    assert_eq!(machines[cut].produce("record 2").await, 2);
}

#[tokio::test]
async fn a_follower_behind_the_trim_point_gets_the_fold_and_then_the_rest() {
    let machines = cluster().await;
    machines[0].produce("record 0").await;
    let away = (leader(&machines).await + 1) % 3;
    machines[away].kill();
    let here = (away + 1) % 3;
    for number in 1..300 {
        assert_eq!(machines[here].produce(&format!("record {number}")).await, number);
    }
    let node = machines[here].node().await;
    let host = Handle::current().get_node(machines[here].id).unwrap();
    assert_eq!(host.spawn(async move { node.trim(250).await.unwrap() }).await.unwrap(), 250);
    Handle::current().restart(machines[away].id);
    assert_eq!(machines[away].read(299).await, "record 299");
    assert_eq!(machines[away].node().await.range(), (250, 300));
}

#[tokio::test]
async fn a_removed_node_hears_no_more_and_a_leader_can_be_chosen() {
    let machines = cluster().await;
    let leads = leader(&machines).await;
    let to = (leads + 1) % 3;
    let node = machines[to].node().await;
    let host = Handle::current().get_node(machines[to].id).unwrap();
    // Asked of a follower, both go to the leader.
    let asked = host.spawn(async move {
        let me = node.status().node_id;
        node.transfer_leader(Some(me)).await.unwrap();
        me
    });
    let me = asked.await.unwrap();
    assert_eq!(leader(&machines).await, to);
    let gone = ((leads + 2) % 3) as u64 + 1;
    let (node, host) = (machines[leads].node().await, Handle::current().get_node(machines[leads].id).unwrap());
    host.spawn(async move { node.remove_member(gone).await.unwrap() }).await.unwrap();
    let members = machines[to].node().await.status().members;
    assert_eq!(members.len(), 2, "{members:?}");
    assert!(members.iter().all(|member| member.node_id != gone && member.voter) && me != gone);
    machines[to].produce("after").await;
}

#[tokio::test]
async fn who_ends_what_was_begun_leaves_alone_what_is_being_made() {
    let machines = cluster().await;
    let leads = leader(&machines).await;
    let (node, host) = (machines[leads].node().await, Handle::current().get_node(machines[leads].id).unwrap());
    let gone = ((leads + 1) % 3) as u64 + 1;
    let removed = host.spawn(async move {
        let mut begun = 0;
        let removal = node.remove_member(gone);
        let ending = async {
            let mut changes = node.changes();
            loop {
                if node.status().halfway_to.is_some() {
                    begun += 1;
                    let ended = node.change_voters(BTreeSet::new(), BTreeSet::new()).await;
                    assert_eq!(ended, Err(ChangeError::InProgress));
                }
                changes.anything_changed().await;
            }
        };
        let removed = select! {
            removed = removal => removed,
            () = ending => unreachable!("it does not end"),
        };
        (removed, begun)
    });
    let (removed, begun) = removed.await.unwrap();
    assert_eq!(removed, Ok(()));
    assert!(begun > 0, "nobody saw it half done");
}

#[tokio::test]
async fn a_leader_without_room_hands_over_to_a_voter_that_has_some_and_full_ones_keep_what_they_have() {
    let machines = cluster().await;
    assert_eq!(machines[0].produce("record 0").await, 0);
    let full = leader(&machines).await;
    machines[full].fill_disk();
    let filled = clock::now();
    let mut next = 1;
    // What the leader still took, believing what it had seen a moment before, is taken.
    loop {
        match machines[full].try_produce("more").await {
            Ok(offset) => next = offset + 1,
            Err(ProduceError::DiskFull { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    loop {
        match machines[full].try_produce("again").await {
            Ok(offset) => {
                assert_eq!(offset, next);
                break;
            }
            Err(ProduceError::DiskFull { .. }) => clock::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other:?}"),
        }
        assert!(filled.elapsed() < Duration::from_secs(5), "nobody took over");
    }
    let now_leads = leader(&machines).await;
    assert_ne!(now_leads, full);
    let other = (0..3).find(|at| *at != full && *at != now_leads).unwrap();
    assert_eq!(machines[other].read(next).await, "again");

    for machine in &machines {
        machine.fill_disk();
    }
    let term = machines[now_leads].node().await.status().term;
    for _ in 0..100 {
        let refused = machines[other].try_produce("too much").await;
        assert!(matches!(refused, Err(ProduceError::DiskFull { .. }) | Ok(_)), "{refused:?}");
        clock::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((leader(&machines).await, machines[now_leads].node().await.status().term), (now_leads, term));
    machines[now_leads].disk.set_space_bytes(None);
    // Alone it has no majority that could write: a second one with room is needed.
    machines[other].disk.set_space_bytes(None);
    clock::sleep(Duration::from_secs(1)).await;
    machines[other].produce("room again").await;
}

#[tokio::test]
async fn what_a_disk_lost_comes_back_from_the_others() {
    let machines = cluster().await;
    let text = |number: u64| format!("record {number}");
    for number in 0..200 {
        assert_eq!(machines[0].produce(&text(number)).await, number);
    }
    let dir = Path::new("/groups/0");
    for round in 0..6 {
        let hurt = &machines[round % 3];
        // Sealed by then: what is in the newest segment had been synced, and the log says so.
        clock::sleep(Duration::from_secs(1)).await;
        hurt.kill();
        let mut stores = hurt.disk.list(dir).unwrap();
        stores.retain(|name| name.ends_with(".store"));
        assert!(stores.len() > 8, "{stores:?}");
        let path = |at: usize| dir.join(&stores[at]);
        match round / 3 {
            0 => {
                for at in [1, 2, 5] {
                    for extension in ["state", "index", "store"] {
                        hurt.disk.remove(&path(at).with_extension(extension)).unwrap();
                    }
                }
                hurt.disk.sync_dir(dir).unwrap();
            }
            _ => {
                for at in 0..stores.len() - 1 {
                    assert!(hurt.disk.corrupt(&path(at), 200, 0x40));
                }
                assert!(hurt.disk.break_sector(&path(3), 100));
            }
        }
        Handle::current().restart(hurt.id);
        for number in 0..200 {
            assert_eq!(hurt.read(number).await, text(number), "round {round}");
        }
    }
    assert_eq!(machines[1].produce(&text(200)).await, 200);
}

/// A node that is of a version without raft.v1 Entries, and how often it was asked for some.
#[derive(Clone, Default)]
struct WithoutEntries {
    address: String,
    asked: Arc<AtomicU32>,
}

impl Versions for WithoutEntries {
    fn have(&self, call: Call<'_>) -> bool {
        let is_it = call.path.ends_with("/Entries") && call.server.to_string() == self.address;
        self.asked.fetch_add(u32::from(is_it), Ordering::Relaxed);
        !is_it
    }

    fn common(&self, _: Call<'_>, _: bool, message: AnyMessage) -> Result<AnyMessage, tonic::Status> {
        Ok(message)
    }
}

#[tokio::test]
async fn what_a_disk_lost_comes_back_although_who_is_asked_first_is_too_old_to_know_what_for() {
    let machines = cluster().await;
    let text = |number: u64| format!("record {number}");
    for number in 0..200 {
        assert_eq!(machines[0].produce(&text(number)).await, number);
    }
    clock::sleep(Duration::from_secs(1)).await;
    let old = WithoutEntries { address: address(2), ..WithoutEntries::default() };
    set_versions(old.clone());
    let (dir, hurt) = (Path::new("/groups/0"), &machines[0]);
    let mut stores = hurt.disk.list(dir).unwrap();
    stores.retain(|name| name.ends_with(".store"));
    let damage = |at: usize| assert!(hurt.disk.break_sector(&dir.join(&stores[at]), 200));
    // While it runs, and at a start.
    for (damaged, starts) in [([1, 2], false), ([3, 4], true)] {
        old.asked.store(0, Ordering::Relaxed);
        if starts {
            hurt.kill();
        }
        damaged.into_iter().for_each(damage);
        if starts {
            Handle::current().restart(hurt.id);
        }
        for number in 0..200 {
            assert_eq!(hurt.read(number).await, text(number), "at a start: {starts}");
        }
        assert!(old.asked.load(Ordering::Relaxed) > 0, "at a start: {starts}: nobody had to go on to the next one");
    }
}
