//! Nodes on real sockets of this machine, ten times as fast as in production.
#![cfg(not(madsim))]

use seedlog_gossip::{Config, Gossip, Member, Members, StartError, State};
use seedlog_runtime::clock;
use seedlog_runtime::udp::Socket;
use std::net::SocketAddr;
use std::time::Duration;

const PROBE: Duration = Duration::from_millis(100);
/// A busy machine is slow, and a slow test is no bug.
const PATIENCE: Duration = Duration::from_secs(20);

async fn bind() -> Socket {
    Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

fn config(node_id: u64, gossip_addr: SocketAddr, join: &[String]) -> Config {
    let me = Member {
        node_id,
        name: format!("node-{node_id}"),
        rpc_addr: format!("127.0.0.1:{}", 9000 + node_id),
        gossip_addr,
        cluster_id: 0,
        joining: true,
        version: "test".into(),
    };
    Config { join: join.to_vec(), probe_interval: PROBE, ..Config::new(me) }
}

async fn start(node_id: u64, join: &[String]) -> (Gossip, SocketAddr) {
    let socket = bind().await;
    let addr = socket.local_addr();
    (Gossip::start(socket, config(node_id, addr, join)).unwrap(), addr)
}

async fn restart(node_id: u64, addr: SocketAddr, join: &[String]) -> Gossip {
    Gossip::start(Socket::bind(addr).await.unwrap(), config(node_id, addr, join)).unwrap()
}

async fn until(gossip: &Gossip, what: &str, want: impl Fn(&Members) -> bool) {
    let mut members = gossip.members();
    let seen = clock::timeout(PATIENCE, members.wait_for(|members| want(members))).await;
    let seen = seen.map(|seen| seen.is_ok());
    assert_eq!(seen, Ok(true), "not seen: {what}; the members are {:#?}", gossip.members().borrow());
}

fn alive(members: &Members) -> Vec<u64> {
    members.alive().iter().map(|member| member.node_id).collect()
}

fn state(members: &Members, node_id: u64) -> Option<State> {
    members.get(node_id).map(|known| known.state)
}

/// Nodes 1, 2 and 3, which see each other; 2 and 3 were told of 1 and of themselves.
async fn three() -> (Vec<Gossip>, Vec<SocketAddr>) {
    let (one, addr) = start(1, &[]).await;
    let (mut nodes, mut addrs) = (vec![one], vec![addr]);
    for node_id in 2..=3 {
        let socket = bind().await;
        let own = socket.local_addr();
        // By name, as it is in a container's network.
        let join = [format!("localhost:{}", addr.port()), own.to_string()];
        nodes.push(Gossip::start(socket, config(node_id, own, &join)).unwrap());
        addrs.push(own);
    }
    for node in &nodes {
        until(node, "all three", |members| alive(members) == [1, 2, 3]).await;
    }
    (nodes, addrs)
}

#[tokio::test]
async fn three_nodes_find_each_other_and_know_who_answered_where() {
    let (nodes, addrs) = three().await;
    until(&nodes[1], "both answered", |members| members.join.values().all(|contact| contact.answered())).await;
    let members = nodes[1].members().borrow().clone();
    assert_eq!(members.join[&addrs[1].to_string()].found[&addrs[1]], Some(2), "its own address");
    assert_eq!(members.join[&format!("localhost:{}", addrs[0].port())].found[&addrs[0]], Some(1));
    let one = &members.get(1).unwrap().member;
    assert_eq!((one.name.as_str(), one.rpc_addr.as_str(), one.gossip_addr), ("node-1", "127.0.0.1:9001", addrs[0]));
}

#[tokio::test]
async fn who_leaves_has_left_and_who_is_silent_is_dead() {
    let (nodes, addrs) = three().await;
    clock::timeout(10 * PROBE, nodes[1].leave()).await.expect("a farewell is bounded");
    for node in [&nodes[0], &nodes[2]] {
        until(node, "2 left", |members| matches!(state(members, 2), Some(State::Left { .. }))).await;
    }
    let silent = clock::now();
    nodes[2].stop().await;
    until(&nodes[0], "3 dead", |members| matches!(state(members, 3), Some(State::Dead { .. }))).await;
    assert!(silent.elapsed() > 4 * PROBE, "dead after {:?}", silent.elapsed());
    assert!(matches!(state(&nodes[0].members().borrow(), 2), Some(State::Left { .. })), "a farewell is final");
    // On return the ports are free; both come back at the same addresses.
    let join = [addrs[0].to_string()];
    let _back = (restart(2, addrs[1], &join).await, restart(3, addrs[2], &[]).await);
    until(&nodes[0], "all back", |members| alive(members) == [1, 2, 3]).await;
}

#[tokio::test]
async fn a_wiped_node_takes_the_old_ones_address_and_the_old_one_is_dead() {
    let (nodes, addrs) = three().await;
    nodes[2].stop().await;
    let wiped = restart(33, addrs[2], &[addrs[0].to_string()]).await;
    for node in [&nodes[0], &nodes[1]] {
        until(node, "33 for 3", |members| alive(members) == [1, 2, 33]).await;
        until(node, "3 dead", |members| matches!(state(members, 3), Some(State::Dead { .. }))).await;
    }
    until(&wiped, "all", |members| alive(members) == [1, 2, 33]).await;
}

#[tokio::test]
async fn a_node_that_moves_is_known_at_its_new_address() {
    let (nodes, addrs) = three().await;
    nodes[2].stop().await;
    let (_moved, addr) = start(3, &[addrs[0].to_string()]).await;
    assert_ne!(addr, addrs[2]);
    for node in [&nodes[0], &nodes[1]] {
        until(node, "3 moved", |members| {
            members.get(3).is_some_and(|known| known.is_alive() && known.member.gossip_addr == addr)
        })
        .await;
    }
    // Its old address is declared dead, and that is none of its business any more.
    clock::sleep(12 * PROBE).await;
    assert_eq!(alive(&nodes[0].members().borrow()), [1, 2, 3]);
}

#[tokio::test]
async fn a_change_reaches_everyone_and_nobody_dies_of_it() {
    let (nodes, _) = three().await;
    let mut watched = nodes[1].members();
    let death = seedlog_runtime::spawn(async move {
        let died = watched.wait_for(|members| members.others.values().any(|known| !known.is_alive())).await;
        died.is_ok()
    });
    nodes[0].set_cluster_id(77);
    nodes[0].set_rpc_addr("127.0.0.1:9999".into()).unwrap();
    assert!(nodes[0].set_rpc_addr("r".repeat(161)).is_err());
    for node in &nodes[1..] {
        until(node, "the change", |members| {
            let one = &members.get(1).unwrap().member;
            (one.cluster_id, one.rpc_addr.as_str()) == (77, "127.0.0.1:9999")
        })
        .await;
    }
    until(&nodes[0], "its own", |members| members.me.cluster_id == 77).await;
    clock::sleep(10 * PROBE).await;
    assert!(!death.is_finished());
    death.abort();
}

/// As behind a service's address: it is asked at one address and answers with the one it advertises.
#[tokio::test]
async fn a_node_is_joined_through_an_address_that_it_does_not_advertise() {
    let socket = Socket::bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let port = socket.local_addr().port();
    let advertised = format!("127.0.0.1:{port}").parse().unwrap();
    let one = Gossip::start(socket, config(1, advertised, &[])).unwrap();
    let (two, _) = start(2, &[format!("127.0.0.2:{port}")]).await;
    for node in [&one, &two] {
        until(node, "both", |members| alive(members) == [1, 2]).await;
    }
    assert_eq!(two.members().borrow().get(1).unwrap().member.gossip_addr, advertised);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said_and_tried_again_and_a_bad_address_is_refused() {
    let (one, _) = start(1, &["no-such-host.invalid:8401".into()]).await;
    until(&one, "the error", |members| members.join.values().all(|contact| contact.error.is_some())).await;

    let socket = bind().await;
    let bad = config(2, socket.local_addr(), &["10.0.0.1".into()]);
    assert!(matches!(Gossip::start(socket, bad), Err(StartError::Join(_))));
    let socket = bind().await;
    let mut bad = config(2, socket.local_addr(), &[]);
    bad.me.gossip_addr = "0.0.0.0:8401".parse().unwrap();
    assert!(matches!(Gossip::start(socket, bad), Err(StartError::Member(_))));
}

#[tokio::test]
async fn garbage_and_foreign_datagrams_are_dropped_and_counted() {
    let (one, addr) = start(1, &[]).await;
    let stranger = bind().await;
    for datagram in
        [b"".as_slice(), b"GET / HTTP/1.1", b"\x02\x00later", b"\x01", b"\x01\x07", b"\x01\x00\xff\xff", &[1; 1401]]
    {
        stranger.send_to(datagram, addr).await.unwrap();
    }
    clock::timeout(PATIENCE, async {
        while one.counters().received < 7 {
            clock::sleep(PROBE / 10).await;
        }
    })
    .await
    .expect("all arrive");
    let counters = one.counters();
    assert_eq!((counters.foreign, counters.garbage), (3, 4), "{counters:?}");
    assert!(one.members().borrow().is_alone());
}

#[tokio::test]
async fn the_last_handle_ends_it() {
    let (one, addr) = start(1, &[]).await;
    let mut members = one.members();
    let second = one.clone();
    drop(one);
    drop(second);
    clock::timeout(PATIENCE, members.wait_for(|_| false)).await.expect("it ends").expect_err("it is closed");
    Socket::bind(addr).await.expect("the port is free");
}
