//! Several servers with one log, as the client of a cluster sees them.

use crate::memory_log::*;
use seedlog_client::{
    ApiError, Cluster, ClusterOptions, Conditions, Error, Outcome, ProducerSequence, Role, Server, Start,
};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::Listener;
use std::future::pending;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub const SHORT: Duration = Duration::from_millis(300);

pub struct Group {
    addresses: Vec<String>,
    pub nodes: Vec<MemoryLog>,
}

impl Group {
    /// So many servers, the first of which leads term 1.
    pub async fn of(count: usize) -> Group {
        let log = MemoryLog::default();
        let mut group = Group { addresses: Vec::new(), nodes: Vec::new() };
        for _ in 0..count {
            let MemoryLog { records, batches, .. } = log.clone();
            let node = MemoryLog { records, batches, ..MemoryLog::default() };
            let listener = Listener::bind("127.0.0.1:0").await.unwrap();
            group.addresses.push(listener.local_addr().to_string());
            seedlog_runtime::spawn(listener.serve(node.services(), pending()));
            group.nodes.push(node);
        }
        (0..count).for_each(|teller| group.tells(teller, 0, 1));
        group
    }

    /// From now on this server says that `leader` leads that term.
    pub fn tells(&self, teller: usize, leader: usize, term: u64) {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        self.says(teller, leader, term, &addresses);
    }

    /// And where each is to be found, as it says.
    pub fn advertises(&self, teller: usize, addresses: &[&str]) {
        self.says(teller, 0, 1, addresses);
    }

    fn says(&self, teller: usize, leader: usize, term: u64, addresses: &[&str]) {
        let server = |(number, address): (usize, &&str)| Server {
            id: number.to_string(),
            rpc_addr: (*address).to_owned(),
            is_leader: number == leader,
            role: if number == leader { Role::Leader } else { Role::Voter }.into(),
            term: if number == teller { term } else { 0 },
            ..Server::default()
        };
        *self.nodes[teller].servers.lock().unwrap() = addresses.iter().enumerate().map(server).collect();
    }

    /// From now on these servers are of that cluster.
    pub fn belongs_to(&self, cluster_id: &str) {
        for node in &self.nodes {
            node.servers.lock().unwrap().iter_mut().for_each(|server| server.cluster_id = cluster_id.to_owned());
        }
    }

    pub fn cluster(&self, seeds: &[usize]) -> Cluster {
        self.cluster_with(seeds, Group::options())
    }

    pub fn options() -> ClusterOptions {
        ClusterOptions {
            call_max: Duration::from_secs(4),
            try_max: SHORT,
            quiet_max: SHORT,
            tail_records_max: 3,
            ..ClusterOptions::default()
        }
    }

    pub fn cluster_with(&self, seeds: &[usize], options: ClusterOptions) -> Cluster {
        Cluster::connect_with(seeds.iter().map(|seed| &self.addresses[*seed]), options).unwrap()
    }

    /// Returns when each has answered who is there, from now on.
    async fn asked_again(&self) {
        let asked = |node: &MemoryLog| node.seen.asked.load(Relaxed);
        for node in &self.nodes {
            // The next may be under way already; the one after it comes when that was taken in.
            let enough = asked(node) + 3;
            while asked(node) < enough {
                clock::sleep(SHORT / 10).await;
            }
        }
    }

    fn produced(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.seen.produced.load(Relaxed)).collect()
    }

    fn read(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.seen.read.load(Relaxed)).collect()
    }
}

fn sequence(sequence: u64) -> Conditions {
    let producer = Some(ProducerSequence { id: "p".into(), sequence, gap_allowed: false });
    Conditions { producer, ..Conditions::default() }
}

#[tokio::test]
async fn whoever_is_known_leads_to_the_rest_records_go_to_the_leader_and_reads_to_the_others() {
    let group = Group::of(3).await;
    let cluster = group.cluster(&[2]);
    for offset in 0..4 {
        assert_eq!(cluster.produce(records(&["a"])).await.unwrap().first_offset, offset);
    }
    for offset in 0..4 {
        assert_eq!(cluster.consume(offset).await.unwrap().offset, offset);
    }
    assert_eq!((group.produced(), group.read()), (vec![4, 0, 0], vec![0, 2, 2]));
    assert_eq!(cluster.next_offset().await.unwrap(), 4);
    assert_eq!(cluster.members().await.unwrap().servers.len(), 3);
}

#[tokio::test]
async fn one_server_is_leader_and_reader_alike() {
    let group = Group::of(1).await;
    let cluster = group.cluster(&[0]);
    cluster.produce(records(&["a"])).await.unwrap();
    assert_eq!(cluster.consume(0).await.unwrap().value, "a");
}

#[tokio::test]
async fn a_reader_that_is_down_is_passed_over_and_the_leader_is_read_if_all_others_are() {
    let group = Group::of(3).await;
    let cluster = group.cluster(&[0, 1, 2]);
    cluster.produce(records(&["a"])).await.unwrap();
    group.nodes[1].seen.down.store(true, Relaxed);
    for _ in 0..6 {
        cluster.consume(0).await.unwrap();
    }
    assert_eq!(group.read()[1], 1, "it was tried once");
    group.nodes[2].seen.down.store(true, Relaxed);
    cluster.consume(0).await.unwrap();
    assert_eq!(group.read()[0], 1);
}

#[tokio::test]
async fn the_higher_term_is_believed_and_not_the_one_who_still_takes_itself_for_the_leader() {
    let group = Group::of(3).await;
    let cluster = group.cluster(&[0]);
    cluster.produce(records(&["a"])).await.unwrap();
    // Cut off from the rest, it says what it said before; what it is given is not committed.
    group.tells(1, 2, 2);
    group.tells(2, 2, 2);
    let produced = cluster.produce_if(records(&[MUTE]), &sequence(0)).await.unwrap();
    assert_eq!((produced.first_offset, produced.repeated), (1, true), "another one says that it is there");
    // By now no failure is so young that somebody is passed over for it.
    clock::sleep(Duration::from_secs(3)).await;
    let before = group.produced();
    cluster.produce(records(&["b"])).await.unwrap();
    assert_eq!(group.produced(), [before[0], before[1], before[2] + 1]);
}

#[tokio::test]
async fn only_with_a_sequence_is_sent_again_what_may_be_written_already() {
    let lost = async |conditions: Conditions| {
        let group = Group::of(3).await;
        let cluster = group.cluster(&[0, 1, 2]);
        cluster.produce(records(&["a"])).await.unwrap();
        group.nodes[0].seen.down.store(true, Relaxed);
        let produced = cluster.produce_if(records(&["b"]), &conditions).await;
        (produced.map_err(|error| error.outcome()), group.produced())
    };
    let (produced, tried) = lost(Conditions::default()).await;
    assert_eq!((produced, tried), (Err(Outcome::Unknown), vec![2, 0, 0]));
    let (produced, tried) = lost(sequence(0)).await;
    assert_eq!((produced.map(|produced| produced.first_offset), tried), (Ok(1), vec![2, 1, 0]));
}

#[tokio::test]
async fn what_is_surely_not_written_is_sent_again_until_the_time_is_up() {
    let group = Group::of(3).await;
    let options = ClusterOptions { call_max: Duration::from_secs(1), ..ClusterOptions::default() };
    let cluster = Cluster::connect_with(&group.addresses, options).unwrap();
    let error = cluster.produce(records(&[LEADERLESS])).await.unwrap_err();
    assert_eq!(error, Error::Server(ApiError::NoLeader));
    assert!(group.produced().iter().sum::<u32>() > 1);
}

#[tokio::test]
async fn a_tail_goes_on_elsewhere_when_its_server_ends_it_or_gives_nothing() {
    let group = Group::of(3).await;
    let cluster = group.cluster(&[0]);
    let values: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    cluster.produce(values[..5].iter().map(|value| record(value)).collect()).await.unwrap();
    group.nodes[1].seen.stalled.store(true, Relaxed);
    let mut tail = cluster.tail(Start::Offset(1));
    for offset in 1..5 {
        assert_eq!(tail.next().await.unwrap().offset, offset);
    }
    // What it is connected to falls silent; the others go on.
    cluster.produce(values[5..].iter().map(|value| record(value)).collect()).await.unwrap();
    for offset in 5..10 {
        let next = clock::timeout(Duration::from_secs(20), tail.next()).await.expect("another one has it");
        assert_eq!((tail.offset(), next.unwrap().value), (Some(offset + 1), values[offset as usize].clone().into()));
    }
}

#[tokio::test]
async fn a_tail_of_what_is_to_come_begins_where_the_log_ended_when_it_was_first_asked() {
    let group = Group::of(3).await;
    let cluster = group.cluster(&[1]);
    cluster.produce(records(&["a", "b"])).await.unwrap();
    group.nodes.iter().for_each(|node| node.seen.stalled.store(true, Relaxed));
    let mut tail = cluster.tail(Start::Latest);
    assert_eq!(tail.offset(), None);
    assert!(clock::timeout(SHORT, tail.next()).await.is_err());
    assert_eq!(tail.offset(), Some(2));
    cluster.produce(records(&["c", "d"])).await.unwrap();
    group.nodes.iter().for_each(|node| node.seen.stalled.store(false, Relaxed));
    assert_eq!(tail.next().await.unwrap().value, "c");
    tail.seek(1);
    assert_eq!(tail.next().await.unwrap().value, "b");
    // However short the patience of whoever calls: that it is silent is seen.
    cluster.produce(records(&["e"])).await.unwrap();
    group.nodes.iter().for_each(|node| node.seen.stalled.store(true, Relaxed));
    tail.seek(3);
    let stalled = clock::now();
    let until_it_is_there = async {
        loop {
            if let Ok(next) = clock::timeout(SHORT / 3, tail.next()).await {
                return next.unwrap();
            }
            if clock::now() - stalled > 4 * SHORT {
                group.nodes.iter().for_each(|node| node.seen.stalled.store(false, Relaxed));
            }
        }
    };
    assert_eq!(clock::timeout(40 * SHORT, until_it_is_there).await.expect("it goes elsewhere").value, "d");
    tail.seek(9);
    assert_eq!(clock::timeout(SHORT, tail.next()).await.map_err(|_| ()), Err(()), "it waits, as the server does");
}

#[tokio::test]
async fn where_nobody_is_the_call_ends_in_time_and_says_why() {
    let options = ClusterOptions { call_max: SHORT, ..ClusterOptions::default() };
    let cluster = Cluster::connect_with(["127.0.0.1:9"], options).unwrap();
    let error = cluster.produce(records(&["a"])).await.unwrap_err();
    assert!(matches!(&error, Error::NoServer { why } if why.contains("127.0.0.1:9")), "{error}");
    assert_eq!(error.outcome(), Outcome::NotWritten);
    assert!(Cluster::connect(["no address"]).is_err());
    assert!(Cluster::connect::<&str>([]).is_err());
}

#[tokio::test]
async fn a_call_ends_in_time_although_a_try_would_take_longer() {
    let group = Group::of(3).await;
    let options = ClusterOptions { call_max: SHORT * 2, try_max: Duration::from_secs(60), ..Group::options() };
    let cluster = group.cluster_with(&[0, 1, 2], options);
    cluster.produce(records(&["a"])).await.unwrap();
    group.nodes.iter().for_each(|node| node.seen.silent.store(true, Relaxed));
    let asked = clock::now();
    let error = cluster.produce_if(records(&["b"]), &sequence(0)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(asked.elapsed() < SHORT * 10, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn with_no_time_at_all_everybody_is_tried_once() {
    let group = Group::of(3).await;
    let options = ClusterOptions { call_max: Duration::ZERO, ..Group::options() };
    let cluster = group.cluster_with(&[0, 1, 2], options);
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    group.nodes[0].seen.down.store(true, Relaxed);
    assert_eq!(cluster.produce_if(records(&["a"]), &sequence(0)).await.unwrap().first_offset, 0);
    group.nodes.iter().for_each(|node| node.seen.down.store(true, Relaxed));
    let before: u32 = group.produced().iter().sum();
    cluster.produce_if(records(&["b"]), &sequence(1)).await.unwrap_err();
    assert_eq!(group.produced().iter().sum::<u32>() - before, 3);
}

#[tokio::test]
async fn a_server_of_another_cluster_gets_nothing_and_is_named() {
    let (ours, other) = (Group::of(2).await, Group::of(1).await);
    ours.belongs_to("ours");
    other.belongs_to("another");
    // Who answers first says which cluster it is.
    other.nodes[0].seen.down.store(true, Relaxed);
    let seeds = ours.addresses.iter().chain(&other.addresses);
    let options = ClusterOptions { refresh_every: SHORT, ..Group::options() };
    let cluster = Cluster::connect_with(seeds, options).unwrap();
    cluster.produce(records(&["a"])).await.unwrap();
    other.nodes[0].seen.down.store(false, Relaxed);
    other.asked_again().await;
    ours.nodes.iter().for_each(|node| node.seen.down.store(true, Relaxed));
    cluster.produce_if(records(&["b"]), &sequence(0)).await.unwrap_err();
    cluster.consume(0).await.unwrap_err();
    assert_eq!((other.produced(), other.read()), (vec![0], vec![0]));

    // Ours is gone, and another one has its address.
    ours.nodes.iter().for_each(|node| node.seen.down.store(false, Relaxed));
    ours.belongs_to("a third");
    ours.asked_again().await;
    let error = cluster.produce_if(records(&["c"]), &sequence(0)).await.unwrap_err().to_string();
    let wanted = format!("{} is of a third", ours.addresses[0]);
    assert!(error.contains(&wanted) && error.ends_with(", this one is ours"), "{error}");
    assert_eq!(ours.nodes[0].values(), ["a"]);
}

#[tokio::test]
async fn where_nothing_is_written_a_follower_that_moved_is_found_at_its_new_address() {
    let group = Group::of(3).await;
    // Two of one log: the second address is the one that it moves to.
    let [leader, old, new] = [0, 1, 2].map(|number| group.addresses[number].clone());
    group.advertises(0, &[&leader, &old]);
    group.advertises(1, &[&leader, &old]);
    let cluster = group.cluster_with(&[0], ClusterOptions { refresh_every: SHORT, ..Group::options() });
    cluster.produce(records(&["a"])).await.unwrap();
    cluster.consume(0).await.unwrap();
    group.advertises(0, &[&leader, &new]);
    let moved = async {
        while group.read()[2] == 0 {
            cluster.consume(0).await.unwrap();
        }
    };
    clock::timeout(Duration::from_secs(20), moved).await.expect("it is read from where it is now");
}
