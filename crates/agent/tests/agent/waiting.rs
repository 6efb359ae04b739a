//! A node that waits for a cluster says so at once to whoever asks, and serves on the same ports when there is one.
//! Over real sockets in production, over simulated ones in the simulation.

use seedlog_agent::{Agent, Config};
use seedlog_api::ApiError;
use seedlog_api::raft_v1::raft_client::RaftClient;
use seedlog_api::raft_v1::{ReadIndexRequest, VoteRequest};
use seedlog_api::v1::admin_client::AdminClient;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{ConsumeRequest, DescribeRequest, GetServersRequest, ProduceRequest, Record};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rpc::{Listener, channel};
use seedlog_runtime::udp::Socket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::{Code, Status};

/// Far more than any step here takes.
const SOON: Duration = Duration::from_secs(30);
/// A call that is answered at once takes less.
const AT_ONCE: Duration = Duration::from_secs(2);

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// For gRPC and gossip, free a moment ago; not of those that are given to whoever wants any, in either world.
async fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 500) as u16 * 20;
    for _ in 0..100 {
        let at: SocketAddr = ([127, 0, 0, 1], 12_000 + offset + NEXT.fetch_add(1, Ordering::Relaxed)).into();
        if Listener::bind(at).await.is_ok() && Socket::bind(at).await.is_ok() {
            return at;
        }
    }
    panic!("no free ports");
}

fn config(name: &str, rpc_addr: SocketAddr, join: &[SocketAddr]) -> Config {
    let mut config = Config::new("/data".into(), rpc_addr);
    config.node_name = name.into();
    config.gossip_addr = Some(loopback());
    config.bootstrap = join.is_empty();
    config.join = join.iter().map(ToString::to_string).collect();
    config
}

fn one(value: &'static str) -> ProduceRequest {
    let record = Record { value: value.into(), ..Record::default() };
    ProduceRequest { record: Some(record), ..ProduceRequest::default() }
}

/// What a node that waits answers.
fn reason(refused: Status) -> String {
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    match ApiError::from_status(&refused) {
        Some(ApiError::Starting { what }) => what,
        other => panic!("{other:?} in {refused:?}"),
    }
}

/// The call's failure, which comes at once.
macro_rules! refused {
    ($call:expr) => {
        reason(clock::timeout(AT_ONCE, $call).await.expect("it is answered at once").expect_err("it does not serve"))
    };
}

#[tokio::test]
async fn a_node_that_waits_says_for_what_and_then_serves_on_the_same_port_and_connection() {
    let (at, first_at) = (free_port().await, free_port().await);
    let waiting = seedlog_runtime::spawn(Agent::start(config("node-1", at, &[first_at]), Arc::new(SimDisk::new(2))));
    let mut log = LogClient::new(channel(&at.to_string()).unwrap());
    let mut admin = AdminClient::new(channel(&at.to_string()).unwrap());
    let mut raft = RaftClient::new(channel(&at.to_string()).unwrap());
    let wanted = format!("it belongs to no cluster, and waits for a node of a cluster; asked {first_at} (no answer)");
    let told = clock::timeout(SOON, async {
        loop {
            match log.produce(one("early")).await {
                // The port is not bound yet.
                Err(status) if ApiError::from_status(&status).is_none() => {}
                Err(status) => {
                    let what = reason(status);
                    if what == wanted {
                        return;
                    }
                }
                Ok(_) => panic!("there is no log"),
            }
            clock::sleep(Duration::from_millis(20)).await;
        }
    });
    told.await.expect("it says soon whom it asked");
    assert_eq!(refused!(log.consume(ConsumeRequest::default())), wanted);
    assert_eq!(refused!(log.consume_stream(ConsumeRequest::default())), wanted);
    assert_eq!(refused!(log.get_servers(GetServersRequest::default())), wanted);
    assert_eq!(refused!(admin.describe(DescribeRequest::default())), wanted);
    assert_eq!(refused!(raft.vote(VoteRequest::default())), wanted);
    assert_eq!(refused!(raft.read_index(ReadIndexRequest::default())), wanted);

    let mut first = config("node-0", loopback(), &[]);
    first.gossip_addr = Some(first_at);
    let first = Agent::start(first, Arc::new(SimDisk::new(1))).await.unwrap();
    let served = clock::timeout(SOON, async {
        loop {
            match log.produce(one("late")).await {
                Ok(produced) => return produced.into_inner().offset,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
            clock::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(served.await.expect("it joins"), 0);
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(second.rpc_addr(), at);
    assert_eq!(second.identity().cluster_id, first.identity().cluster_id);
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test]
async fn a_node_that_waits_stops_when_it_is_asked_to_and_leaves_nothing_behind() {
    let (at, nobody) = (free_port().await, free_port().await);
    let disk = Arc::new(SimDisk::new(1));
    let (stop, stopped) = oneshot::channel();
    let waiting = Agent::start_unless(config("node-1", at, &[nobody]), disk.clone(), async move {
        let () = stopped.await.unwrap();
    });
    let waiting = seedlog_runtime::spawn(waiting);
    let mut log = LogClient::new(channel(&at.to_string()).unwrap());
    let told = clock::timeout(SOON, async {
        while !matches!(log.produce(one("early")).await, Err(status) if ApiError::from_status(&status).is_some()) {
            clock::sleep(Duration::from_millis(20)).await;
        }
    });
    told.await.expect("it answers");
    stop.send(()).unwrap();
    let none = clock::timeout(Duration::from_secs(3), waiting).await.expect("it stops at once").unwrap().unwrap();
    assert!(none.is_none());
    // The port, the directory, and its having no cluster.
    let mut again = config("node-1", at, &[]);
    again.gossip_addr = None;
    let again = Agent::start(again, disk).await.unwrap();
    assert_eq!(again.rpc_addr(), at);
    again.shutdown().await;
}
