//! Agents that find each other, on in-memory disks. Over real sockets in production, over simulated ones in
//! the simulation.

use seedlog_agent::{Agent, Config};
use seedlog_api::ApiError;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{ConsumeRequest, GetServersRequest, ProduceRequest, Record};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rpc::channel;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// Far more than any step here takes.
const SOON: Duration = Duration::from_secs(30);

fn config(name: &str, join: &[&Agent]) -> Config {
    let mut config = Config::new("/data".into(), ([127, 0, 0, 1], 0).into());
    config.node_name = name.into();
    config.gossip_addr = Some(([127, 0, 0, 1], 0).into());
    config.bootstrap = join.is_empty();
    config.join = join.iter().map(|agent| gossip_addr(agent)).collect();
    config
}

fn gossip_addr(agent: &Agent) -> String {
    agent.gossip().expect("it gossips").members().borrow().me.gossip_addr.to_string()
}

async fn start(config: Config) -> Agent {
    let disk = Arc::new(SimDisk::new(config.node_name.len() as u64));
    clock::timeout(SOON, Agent::start(config, disk)).await.expect("it finds a cluster soon").expect("it starts")
}

/// Returns once `true`; it is looked at again and again, since nobody tells when a cluster is as wanted.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = clock::timeout(SOON, async {
        while !holds() {
            clock::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "not so after {SOON:?}: {what}");
}

fn voters(agent: &Agent) -> usize {
    agent.node().status().members.iter().filter(|member| member.voter).count()
}

/// The generated client's type has another shape in the simulation, so no function can name it.
macro_rules! client {
    ($agent:expr) => {
        LogClient::new(channel(&$agent.rpc_addr().to_string()).unwrap())
    };
}

fn one(value: &'static str) -> ProduceRequest {
    let record = Record { value: value.into(), ..Record::default() };
    ProduceRequest { record: Some(record), ..ProduceRequest::default() }
}

fn at(offset: u64, wait_ms: u32) -> ConsumeRequest {
    ConsumeRequest { offset, wait_ms, ..ConsumeRequest::default() }
}

#[tokio::test]
async fn the_books_scenario_nodes_join_replicate_and_one_leaves() {
    let first = start(config("node-0", &[])).await;
    let second = start(config("node-1", &[&first])).await;
    let third = start(config("node-2", &[&first])).await;
    until("three voters", || [&first, &second, &third].iter().all(|agent| voters(agent) == 3)).await;

    let produced = client!(first).produce(one("foo")).await.unwrap().into_inner();
    assert_eq!(produced.offset, 0);
    for agent in [&first, &second, &third] {
        let consumed = client!(agent).consume(at(0, 0)).await.unwrap().into_inner();
        assert_eq!(consumed.record.unwrap().value, "foo");
    }

    second.leave().await.unwrap();
    until("two voters", || [&first, &third].iter().all(|agent| voters(agent) == 2)).await;
    let servers = client!(third).get_servers(GetServersRequest::default()).await.unwrap().into_inner().servers;
    assert_eq!(servers.len(), 2, "{servers:?}");
    assert_eq!(servers.iter().filter(|server| server.is_leader).count(), 1);

    // Through a follower, or the leader: both have it, and who left does not.
    let produced = client!(third).produce(one("bar")).await.unwrap().into_inner();
    assert_eq!(produced.offset, 1);
    for agent in [&first, &third] {
        let consumed = client!(agent).consume(at(1, 0)).await.unwrap().into_inner();
        assert_eq!(consumed.record.unwrap().value, "bar");
    }
    assert_eq!(second.node().range(), (0, 1));
    first.shutdown().await;
    third.shutdown().await;
}

/// Whom an answer, or a failure, names as the leader.
fn leader_named(metadata: &tonic::metadata::MetadataMap) -> Option<&str> {
    metadata.get("seedlog-leader").map(|leader| leader.to_str().unwrap())
}

#[tokio::test]
async fn what_a_follower_answers_names_the_leader_and_what_the_leader_answers_does_not() {
    let first = start(config("node-0", &[])).await;
    let second = start(config("node-1", &[&first])).await;
    until("two voters", || voters(&second) == 2).await;
    let wanted = format!("{:016x}@{}", first.identity().node_id, first.rpc_addr());

    let produced = client!(second).produce(one("foo")).await.unwrap();
    assert_eq!(leader_named(produced.metadata()), Some(wanted.as_str()));
    let refused = client!(second).produce(ProduceRequest::default()).await.unwrap_err();
    assert_eq!(leader_named(refused.metadata()), Some(wanted.as_str()), "{refused:?}");
    assert!(ApiError::from_status(&refused).is_some(), "beside its facts");
    let stream = client!(second).produce_stream(futures_util::stream::iter([one("bar")])).await.unwrap();
    assert_eq!(leader_named(stream.metadata()), Some(wanted.as_str()));
    assert_eq!(leader_named(client!(first).produce(one("foo")).await.unwrap().metadata()), None);
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test]
async fn a_miss_on_a_follower_is_the_leaders_word_and_a_wait_there_is_woken() {
    let first = start(config("node-0", &[])).await;
    let second = start(config("node-1", &[&first])).await;
    until("two voters", || voters(&second) == 2).await;
    let missed = client!(second).consume(at(0, 0)).await.unwrap_err();
    assert_eq!(missed.code(), Code::OutOfRange);
    assert_eq!(ApiError::from_status(&missed), Some(ApiError::OffsetOutOfRange { asked: 0, first: 0, next: 0 }));
    let mut waiter = client!(second);
    let waiting = seedlog_runtime::spawn(async move { waiter.consume(at(0, 20_000)).await });
    client!(first).produce(one("foo")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().into_inner().record.unwrap().value, "foo");
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_written_and_no_miss_is_answered() {
    let first = start(config("node-0", &[])).await;
    let second = start(config("node-1", &[&first])).await;
    until("two voters", || voters(&first) == 2 && voters(&second) == 2).await;
    client!(first).produce(one("foo")).await.unwrap();
    second.shutdown().await;
    let produced = client!(first).produce(one("bar")).await.unwrap_err();
    assert_eq!(produced.code(), Code::Unavailable, "{produced:?}");
    let missed = client!(first).consume(at(1, 0)).await.unwrap_err();
    assert_eq!(missed.code(), Code::Unavailable, "{missed:?}");
    let consumed = client!(first).consume(at(0, 0)).await.unwrap().into_inner();
    assert_eq!(consumed.record.unwrap().value, "foo", "what it has applied, it answers");
    first.shutdown().await;
}

#[tokio::test]
async fn a_node_told_to_begin_joins_instead_if_there_is_a_cluster() {
    let first = start(config("node-0", &[])).await;
    let told_both = Config { bootstrap: true, ..config("node-1", &[&first]) };
    let second = start(told_both).await;
    assert_eq!(second.identity().cluster_id, first.identity().cluster_id);
    until("two voters", || voters(&first) == 2).await;
    second.shutdown().await;
    first.shutdown().await;
}
