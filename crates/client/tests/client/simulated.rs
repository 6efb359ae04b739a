//! A server that goes away in the middle.

use crate::memory_log::*;
use madsim::net::NetSim;
use madsim::plugin::simulator;
use madsim::runtime::{Handle, NodeHandle};
use seedlog_client::{Client, Outcome, Start};
use seedlog_runtime::clock;
use std::time::Duration;

const SERVER: &str = "10.0.0.1:8400";
const SECOND: Duration = Duration::from_secs(1);

async fn server() -> (MemoryLog, NodeHandle) {
    let log = MemoryLog::default();
    let serving = log.clone();
    let start = move || {
        let log = serving.clone();
        async move { log.serve("0.0.0.0:8400").await.unwrap() }
    };
    let node = Handle::current().create_node().ip("10.0.0.1".parse().unwrap()).init(start).build();
    clock::sleep(SECOND / 100).await;
    (log, node)
}

fn client_node() -> NodeHandle {
    Handle::current().create_node().ip("10.0.0.2".parse().unwrap()).build()
}

#[tokio::test]
async fn a_server_killed_before_its_answer_leaves_the_outcome_unknown_and_the_client_recovers() {
    let (log, server) = server().await;
    let id = server.id();
    let done = client_node().spawn(async move {
        let client = Client::connect(SERVER).unwrap();
        let muted = client.clone();
        let call = seedlog_runtime::spawn(async move { muted.produce(records(&[MUTE])).await });
        clock::sleep(SECOND).await;
        Handle::current().kill(id);
        let error = clock::timeout(SECOND, call).await.expect("noticed at once").unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        Handle::current().restart(id);
        clock::sleep(SECOND).await;
        client.produce(records(&["again"])).await.unwrap()
    });
    assert_eq!(done.await.unwrap().first_offset, 1);
    assert_eq!(log.values(), [MUTE, "again"]);
}

#[tokio::test]
async fn a_partition_ends_every_kind_of_call_by_its_deadline() {
    let (_log, server) = server().await;
    let id = server.id();
    let done = client_node().spawn(async move {
        let client = Client::connect(SERVER).unwrap();
        let (mut sender, mut results) = client.produce_stream().await.unwrap();
        simulator::<NetSim>().clog_node(id);
        let limit = 11 * SECOND;
        let produced = clock::timeout(limit, client.produce(records(&["a"]))).await.expect("a deadline");
        assert_eq!(produced.unwrap_err().outcome(), Outcome::Unknown);
        clock::timeout(limit, client.consume(0)).await.expect("a deadline").unwrap_err();
        clock::timeout(limit, client.servers()).await.expect("a deadline").unwrap_err();
        clock::timeout(limit, client.consume_stream(Start::Earliest)).await.expect("a deadline").unwrap_err();
        assert!(clock::timeout(limit, client.produce_stream()).await.expect("a deadline").is_err());
        sender.send(records(&["b"])).await.unwrap();
        let result = clock::timeout(limit, results.next()).await.expect("a deadline").unwrap();
        assert_eq!(result.unwrap_err().outcome(), Outcome::Unknown);
    });
    done.await.unwrap();
}
