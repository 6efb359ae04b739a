//! Nodes on a simulated network that loses, doubles, delays and cuts, with clocks that run wrong. Each test
//! runs over some tens of seeds; a failure names its seed. SEEDS_TIMES=N: over N times as many.
#![cfg(madsim)]

use madsim::net::NetSim;
use madsim::plugin::simulator;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::task::NodeId;
use rand::RngExt;
use seedlog_gossip::{Config, Gossip, Member, Members, State};
use seedlog_runtime::sim::{Skew, keyed_rng, set_seed, set_skew, set_udp_duplication};
use seedlog_runtime::udp::Socket;
use seedlog_runtime::{clock, watch};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const EVERYWHERE: [u64; 5] = [1, 2, 3, 4, 5];

/// One node: its machine, and gossip on it.
struct Node {
    machine: NodeHandle,
    gossip: Gossip,
}

#[derive(Default)]
struct World {
    nodes: BTreeMap<u64, Node>,
    machines: u64,
    /// Every change that every node sees, with the world's time.
    trace: Arc<Mutex<Vec<String>>>,
}

/// Runs `test` in a world of its own for each seed, and returns the traces.
fn each_seed<F: Future<Output = World>>(seeds: std::ops::Range<u64>, test: impl Fn(u64) -> F) -> Vec<Vec<String>> {
    let run = |seed| {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        println!("seed {seed}"); // shown if it fails
        let world = runtime.block_on(async {
            set_seed(seed);
            clock::sleep(SECOND).await;
            test(seed).await
        });
        let trace = world.trace.lock().unwrap().clone();
        drop(world);
        trace
    };
    let times = std::env::var("SEEDS_TIMES").map_or(1, |times| times.parse().expect("SEEDS_TIMES is a number"));
    (seeds.start..seeds.start + (seeds.end - seeds.start) * times).map(run).collect()
}

fn address(ip: u64) -> String {
    format!("10.0.0.{ip}:8401")
}

fn state(members: &Members, node_id: u64) -> &'static str {
    match members.get(node_id).map(|known| known.state) {
        None => "unknown",
        Some(State::Alive) => "alive",
        Some(State::Left { .. }) => "left",
        Some(State::Dead { .. }) => "dead",
    }
}

fn alive(members: &Members) -> Vec<u64> {
    members.alive().iter().map(|member| member.node_id).collect()
}

/// Writes down what a node sees, as long as it runs.
async fn observe(node_id: u64, mut members: watch::Receiver<Arc<Members>>, trace: Arc<Mutex<Vec<String>>>) {
    let mut before = BTreeMap::new();
    loop {
        let now = members.borrow_and_update().clone();
        for (other, known) in &now.others {
            let is = (state(&now, *other), known.member.clone(), known.incarnation);
            if before.insert(*other, is.clone()).as_ref() != Some(&is) {
                let time = madsim::time::TimeHandle::current().elapsed();
                let (state, member, incarnation) = is;
                let line =
                    format!("{time:?} {node_id} sees {other} {state} at {}, life {incarnation}", member.gossip_addr);
                trace.lock().unwrap().push(line);
            }
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

impl World {
    /// Nodes 1 to 5 at 10.0.0.1 and so on, told of the first and of themselves; they see each other on return.
    async fn five() -> World {
        let mut world = World::default();
        for node_id in EVERYWHERE {
            world.start(node_id, node_id, &[address(1), address(node_id)]).await;
        }
        world.all_see_all(5 * SECOND).await;
        world
    }

    /// On a new machine.
    async fn start(&mut self, node_id: u64, ip: u64, join: &[String]) {
        self.machines += 1;
        let runtime = Handle::current();
        let machine = runtime.create_node().name(format!("machine-{}", self.machines));
        let machine = machine.ip(format!("10.0.0.{ip}").parse().unwrap()).build();
        self.run(machine, node_id, ip, join).await;
    }

    /// The machine that was killed begins anew, perhaps as another node.
    async fn run_again(&mut self, machine: NodeId, node_id: u64, ip: u64, join: &[String]) {
        Handle::current().restart(machine);
        let machine = Handle::current().get_node(machine).expect("it is there");
        self.run(machine, node_id, ip, join).await;
    }

    async fn run(&mut self, machine: NodeHandle, node_id: u64, ip: u64, join: &[String]) {
        let me = Member {
            node_id,
            name: format!("node-{node_id}"),
            rpc_addr: format!("10.0.0.{ip}:8400"),
            gossip_addr: address(ip).parse().unwrap(),
            cluster_id: 0,
            joining: true,
            version: "test".into(),
        };
        let config = Config { join: join.to_vec(), ..Config::new(me) };
        let trace = self.trace.clone();
        let start = async move {
            let socket = Socket::bind("0.0.0.0:8401".parse().unwrap()).await.unwrap();
            let gossip = Gossip::start(socket, config).unwrap();
            seedlog_runtime::spawn(observe(node_id, gossip.members(), trace));
            gossip
        };
        let gossip = machine.spawn(start).await.unwrap();
        self.nodes.insert(node_id, Node { machine, gossip });
    }

    fn kill(&mut self, node_id: u64) -> NodeId {
        let node = self.nodes.remove(&node_id).expect("it runs");
        Handle::current().kill(node.machine.id());
        node.machine.id()
    }

    fn members(&self, node_id: u64) -> Arc<Members> {
        self.nodes[&node_id].gossip.members().borrow().clone()
    }

    async fn until(&self, limit: Duration, what: &str, want: impl Fn(&World) -> bool) -> Duration {
        let start = clock::now();
        while !want(self) {
            let trace = || self.trace.lock().unwrap().join("\n");
            assert!(start.elapsed() < limit, "not within {limit:?}: {what}; the trace is\n{}", trace());
            clock::sleep(SECOND / 50).await;
        }
        start.elapsed()
    }

    async fn all_see_all(&self, limit: Duration) -> Duration {
        let all: Vec<u64> = self.nodes.keys().copied().collect();
        let want = |world: &World| all.iter().all(|id| alive(&world.members(*id)) == all);
        self.until(limit, "all see all", want).await
    }

    async fn all_see(&self, node_id: u64, wanted: &str, limit: Duration) -> Duration {
        let want = |world: &World| world.nodes.keys().all(|id| state(&world.members(*id), node_id) == wanted);
        self.until(limit, &format!("all see {node_id} {wanted}"), want).await
    }

    fn seen(&self, what: &str) -> Vec<String> {
        self.trace.lock().unwrap().iter().filter(|line| line.contains(what)).cloned().collect()
    }

    fn nobody_was_declared_dead(&self) {
        assert_eq!(self.seen(" dead "), [""; 0]);
    }

    /// Cuts or heals everything between two sides.
    fn partition(&self, one: &[u64], other: &[u64], cut: bool) {
        let net = simulator::<NetSim>();
        for a in one {
            for b in other {
                let (a, b) = (self.nodes[a].machine.id(), self.nodes[b].machine.id());
                for (from, to) in [(a, b), (b, a)] {
                    if cut { net.clog_link(from, to) } else { net.unclog_link(from, to) }
                }
            }
        }
    }
}

fn lose(rate: f64) {
    simulator::<NetSim>().update_config(|config| config.packet_loss_rate = rate);
}

#[test]
fn five_nodes_find_each_other_and_a_death_is_seen_within_ten_seconds() {
    each_seed(0..40, |_| async {
        let mut world = World::five().await;
        clock::sleep(3 * SECOND).await;
        world.kill(3);
        let seen = world.all_see(3, "dead", 10 * SECOND).await;
        assert!(seen > 4 * SECOND, "{seen:?} is too soon to be sure");
        assert_eq!(world.seen(" dead ").len(), 4, "and nobody else");
        world
    });
}

#[test]
fn a_node_rejoins_at_its_address_and_at_another_whether_or_not_it_was_declared_dead() {
    each_seed(0..30, |seed| async move {
        let mut world = World::five().await;
        let down = if seed % 2 == 0 { SECOND / 2 } else { 15 * SECOND };
        // At the same address, told of nobody but one that lives.
        let id = world.kill(3);
        clock::sleep(down).await;
        world.run_again(id, 3, 3, &[address(2)]).await;
        world.all_see_all(3 * SECOND).await;
        // At another.
        world.kill(4);
        clock::sleep(down).await;
        world.start(4, 44, &[address(1)]).await;
        world.all_see_all(3 * SECOND).await;
        let deaths = world.seen(" dead ").len();
        assert_eq!(deaths, if seed % 2 == 0 { 0 } else { 8 }, "{:#?}", world.seen(" dead "));
        // What becomes of the old address is not the node's death.
        clock::sleep(15 * SECOND).await;
        for id in [1, 2, 3, 5] {
            let members = world.members(id);
            let known = members.get(4).unwrap();
            assert!(known.is_alive() && known.member.gossip_addr == address(44).parse().unwrap(), "{known:?}");
        }
        assert_eq!(world.seen(" dead ").len(), deaths);
        world
    });
}

#[test]
fn a_dead_node_that_nobody_told_of_anyone_is_found_at_its_address() {
    each_seed(0..20, |_| async {
        let mut world = World::five().await;
        let id = world.kill(3);
        world.all_see(3, "dead", 10 * SECOND).await;
        clock::sleep(3 * SECOND).await; // Until the last datagram to it is gone.
        world.run_again(id, 3, 3, &[]).await;
        world.all_see_all(15 * SECOND).await;
        world
    });
}

#[test]
fn a_node_comes_back_although_its_clock_went_back_an_hour_over_the_restart() {
    each_seed(0..30, |seed| async move {
        let mut world = World::five().await;
        clock::sleep((seed % 3) as u32 * 4 * SECOND).await;
        let id = world.kill(3);
        set_skew(id, Skew { rate: 1.0, wall_offset_ms: -3_600_000 });
        clock::sleep((seed % 2) as u32 * 12 * SECOND).await;
        if seed % 5 == 0 {
            // Also at another address, with the old one still alive for the others.
            world.start(3, 33, &[address(1)]).await;
            set_skew(world.nodes[&3].machine.id(), Skew { rate: 1.0, wall_offset_ms: -7_200_000 });
            let id = world.kill(3);
            world.run_again(id, 3, 33, &[address(1)]).await;
        } else {
            world.run_again(id, 3, 3, &[address(1)]).await;
        }
        world.all_see_all(5 * SECOND).await;
        world
    });
}

#[test]
fn a_wiped_node_replaces_the_old_one_at_its_address_even_with_a_clock_that_went_back() {
    each_seed(0..20, |seed| async move {
        let mut world = World::five().await;
        let id = world.kill(3);
        if seed % 2 == 0 {
            set_skew(id, Skew { rate: 1.0, wall_offset_ms: -3_600_000 });
        }
        if seed % 3 == 0 {
            world.all_see(3, "dead", 10 * SECOND).await;
            clock::sleep(3 * SECOND).await; // Until the last datagram to it is gone.
        }
        world.run_again(id, 30, 3, &[address(1)]).await;
        world.all_see_all(5 * SECOND).await;
        let others = |world: &World| [1, 2, 4, 5].iter().all(|id| state(&world.members(*id), 3) == "dead");
        world.until(SECOND, "3 is dead", others).await;
        world
    });
}

#[test]
fn an_isolated_node_and_two_halves_find_each_other_again() {
    each_seed(0..30, |seed| async move {
        let world = World::five().await;
        let (one, other): (&[u64], &[u64]) = if seed % 2 == 0 { (&[1], &[2, 3, 4, 5]) } else { (&[1, 2], &[3, 4, 5]) };
        world.partition(one, other, true);
        let apart = |world: &World| {
            let sees = |side: &[u64]| side.iter().all(|id| alive(&world.members(*id)) == side);
            sees(one) && sees(other)
        };
        world.until(20 * SECOND, "they are apart", apart).await;
        clock::sleep(30 * SECOND).await;
        world.partition(one, other, false);
        world.all_see_all(10 * SECOND).await;
        world
    });
}

#[test]
fn nodes_that_were_all_cut_off_from_each_other_find_together_again() {
    each_seed(0..20, |_| async {
        let world = World::five().await;
        let cut = |cut| {
            for (at, node) in EVERYWHERE.iter().enumerate() {
                world.partition(&[*node], &EVERYWHERE[at + 1..], cut);
            }
        };
        cut(true);
        clock::sleep(60 * SECOND).await;
        assert!(EVERYWHERE.iter().all(|id| world.members(*id).is_alone()));
        cut(false);
        world.all_see_all(12 * SECOND).await;
        world
    });
}

#[test]
fn one_lost_datagram_in_ten_declares_nobody_dead_in_a_minute() {
    each_seed(0..40, |_| async {
        let world = World::five().await;
        lose(0.1);
        clock::sleep(60 * SECOND).await;
        world.nobody_was_declared_dead();
        world
    });
}

/// Where nobody is there to ask by way of.
#[test]
fn two_nodes_alone_survive_one_lost_datagram_in_ten() {
    each_seed(0..30, |_| async {
        let mut world = World::default();
        for node_id in [1, 2] {
            world.start(node_id, node_id, &[address(1)]).await;
        }
        world.all_see_all(5 * SECOND).await;
        lose(0.1);
        clock::sleep(60 * SECOND).await;
        world.nobody_was_declared_dead();
        world
    });
}

#[test]
fn a_link_that_is_cut_one_way_is_gone_around() {
    each_seed(0..20, |_| async {
        let world = World::five().await;
        simulator::<NetSim>().clog_link(world.nodes[&1].machine.id(), world.nodes[&2].machine.id());
        clock::sleep(60 * SECOND).await;
        world.nobody_was_declared_dead();
        world
    });
}

#[test]
fn datagrams_that_arrive_twice_and_late_change_nothing() {
    each_seed(0..20, |_| async {
        set_udp_duplication(0.5);
        let mut world = World::five().await;
        simulator::<NetSim>().update_config(|config| config.send_latency = Duration::ZERO..SECOND / 8);
        lose(0.02);
        clock::sleep(30 * SECOND).await;
        world.nobody_was_declared_dead();
        let id = world.kill(3);
        world.run_again(id, 3, 3, &[address(1)]).await;
        world.all_see_all(5 * SECOND).await;
        world.nodes[&1].gossip.set_cluster_id(7);
        world.kill(3);
        world.all_see(3, "dead", 12 * SECOND).await;
        assert_eq!(world.seen(" dead ").len(), 4);
        assert!([2, 4, 5].iter().all(|id| world.members(*id).get(1).unwrap().member.cluster_id == 7));
        world
    });
}

#[test]
fn clocks_that_run_a_quarter_wrong_declare_nobody_dead_and_see_a_death_a_quarter_later() {
    each_seed(0..30, |_| async {
        let mut world = World::five().await;
        let mut rng = keyed_rng(&["skew".into()]);
        for node in world.nodes.values() {
            let skew =
                Skew { rate: rng.random_range(0.8..1.25), wall_offset_ms: rng.random_range(-86_400_000..86_400_000) };
            set_skew(node.machine.id(), skew);
        }
        lose(0.03);
        clock::sleep(60 * SECOND).await;
        world.nobody_was_declared_dead();
        world.kill(2);
        world.all_see(2, "dead", 12 * SECOND).await;
        assert_eq!(world.seen(" dead ").len(), 4);
        world
    });
}

#[test]
fn a_farewell_is_heard_through_loss_and_is_no_death() {
    each_seed(0..30, |_| async {
        let mut world = World::five().await;
        lose(0.1);
        let node = world.nodes.remove(&2).unwrap();
        let machine = node.machine.id();
        let leaving = node.machine.spawn(async move { node.gossip.leave().await });
        clock::timeout(SECOND, leaving).await.expect("a farewell is bounded").unwrap();
        world.all_see(2, "left", 3 * SECOND).await;
        clock::sleep(20 * SECOND).await;
        world.nobody_was_declared_dead();
        Handle::current().kill(machine);
        world.run_again(machine, 2, 2, &[address(1)]).await;
        world.all_see_all(8 * SECOND).await;
        world
    });
}

#[test]
fn a_change_reaches_everyone_through_loss_and_nobody_dies_of_it() {
    each_seed(0..30, |_| async {
        let world = World::five().await;
        lose(0.1);
        for (node_id, cluster_id) in [(1, 70), (2, 70), (1, 71), (3, 70), (4, 70)] {
            world.nodes[&node_id].gossip.set_cluster_id(cluster_id);
            clock::sleep(SECOND / 7).await;
        }
        let want = |world: &World| {
            EVERYWHERE.iter().all(|id| {
                let members = world.members(*id);
                let ids: Vec<u128> = members.alive().iter().map(|member| member.cluster_id).collect();
                ids == [71, 70, 70, 70, 0]
            })
        };
        world.until(5 * SECOND, "all know the cluster ids", want).await;
        clock::sleep(20 * SECOND).await;
        world.nobody_was_declared_dead();
        world
    });
}

#[test]
fn a_node_that_was_stopped_for_a_while_blames_nobody_and_is_back_at_once() {
    each_seed(0..20, |seed| async move {
        let world = World::five().await;
        clock::sleep(SECOND * (seed % 4) as u32 / 4).await;
        let machine = world.nodes[&2].machine.id();
        Handle::current().pause(machine);
        clock::sleep(if seed % 2 == 0 { 4 * SECOND } else { 20 * SECOND }).await;
        Handle::current().resume(machine);
        world.all_see_all(5 * SECOND).await;
        clock::sleep(10 * SECOND).await;
        assert!(world.seen(" 2 sees ").iter().all(|line| !line.contains(" dead ")), "{:#?}", world.seen(" dead "));
        world.all_see_all(SECOND).await;
        world
    });
}

/// Its suspects objected while it could not hear: that counts, and the time it was away does not.
#[test]
fn a_node_that_was_stopped_in_the_middle_of_a_suspicion_hears_the_suspects_out() {
    each_seed(0..20, |_| async {
        let world = World::five().await;
        world.partition(&[2], &[1, 3, 4, 5], true);
        clock::sleep(5 * SECOND / 2).await;
        let machine = world.nodes[&2].machine.id();
        Handle::current().pause(machine);
        world.partition(&[2], &[1, 3, 4, 5], false);
        clock::sleep(6 * SECOND).await;
        Handle::current().resume(machine);
        world.all_see_all(5 * SECOND).await;
        clock::sleep(10 * SECOND).await;
        assert!(world.seen(" 2 sees ").iter().all(|line| !line.contains(" dead ")), "{:#?}", world.seen(" dead "));
        assert!(world.nodes[&2].gossip.counters().stalled > 0);
        world
    });
}

#[test]
fn a_node_that_just_changed_still_sees_the_only_other_one_die() {
    each_seed(0..10, |_| async {
        let mut world = World::default();
        for node_id in [1, 2] {
            world.start(node_id, node_id, &[address(1)]).await;
        }
        world.all_see_all(5 * SECOND).await;
        clock::sleep(3 * SECOND).await;
        world.kill(2);
        world.nodes[&1].gossip.set_cluster_id(7);
        world.all_see(2, "dead", 8 * SECOND).await;
        world
    });
}

#[test]
fn who_is_left_alone_asks_at_once_where_its_addresses_lead_now() {
    each_seed(0..20, |seed| async move {
        let mut world = World::default();
        let name = |ip: &str| simulator::<NetSim>().add_dns_record("seed.example", ip.parse().unwrap());
        name("10.0.0.1");
        world.start(1, 1, &[]).await;
        world.start(2, 2, &["seed.example:8401".into()]).await;
        world.all_see_all(5 * SECOND).await;
        clock::sleep(SECOND * seed as u32).await;
        world.kill(1);
        name("10.0.0.9");
        world.start(1, 9, &[]).await;
        world.all_see_all(9 * SECOND).await;
        world
    });
}

#[test]
fn a_name_is_joined_when_it_begins_to_mean_something() {
    each_seed(0..10, |_| async {
        let mut world = World::default();
        world.start(1, 1, &[]).await;
        world.start(2, 2, &["seed.example:8401".into()]).await;
        clock::sleep(20 * SECOND).await;
        assert!(world.members(2).join["seed.example:8401"].error.is_some());
        simulator::<NetSim>().add_dns_record("seed.example", "10.0.0.1".parse().unwrap());
        world.all_see_all(10 * SECOND).await;
        assert!(world.members(2).join["seed.example:8401"].answered());
        world
    });
}

#[test]
fn a_cluster_whose_addresses_all_changed_finds_itself_by_name() {
    each_seed(0..20, |_| async {
        let mut world = World::default();
        let names: Vec<String> = EVERYWHERE.iter().map(|id| format!("node-{id}:8401")).collect();
        let name = |id: u64, ip: u64| {
            let ip = format!("10.0.0.{ip}").parse().unwrap();
            simulator::<NetSim>().add_dns_record(&format!("node-{id}"), ip);
        };
        for id in EVERYWHERE {
            name(id, id);
            world.start(id, id, &names).await;
        }
        world.all_see_all(5 * SECOND).await;
        // A third of them at addresses that others had before.
        let machines: Vec<_> = EVERYWHERE.iter().map(|id| world.kill(*id)).collect();
        drop(machines);
        for id in EVERYWHERE {
            name(id, 100 + id);
        }
        for id in EVERYWHERE {
            world.start(id, 100 + id, &names).await;
            clock::sleep(SECOND / 3).await;
        }
        world.all_see_all(10 * SECOND).await;
        world
    });
}

#[test]
fn nodes_that_exchange_their_addresses_one_by_one_keep_their_places() {
    each_seed(0..20, |_| async {
        let mut world = World::five().await;
        let (two, three) = (world.kill(2), world.kill(3));
        world.run_again(two, 3, 2, &[address(1)]).await;
        clock::sleep(SECOND).await;
        world.run_again(three, 2, 3, &[address(1)]).await;
        world.all_see_all(5 * SECOND).await;
        for id in [1, 4, 5] {
            assert_eq!(world.members(id).get(2).unwrap().member.gossip_addr, address(3).parse().unwrap());
        }
        world
    });
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let run = || {
        each_seed(0..4, |_| async {
            let mut world = World::five().await;
            set_udp_duplication(0.1);
            lose(0.2);
            world.partition(&[1, 2], &[3, 4, 5], true);
            clock::sleep(20 * SECOND).await;
            world.partition(&[1, 2], &[3, 4, 5], false);
            world.kill(4);
            clock::sleep(20 * SECOND).await;
            world.nodes[&1].gossip.set_cluster_id(9);
            world.start(4, 44, &[address(2)]).await;
            clock::sleep(10 * SECOND).await;
            world
        })
    };
    let (one, two) = (run(), run());
    assert!(one[0].len() > 40, "too little happened: {:#?}", one[0]);
    assert_eq!(one, two);
    assert_ne!(one[0], one[1]);
}
