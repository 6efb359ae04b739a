//! HTTP of a node in trouble: what is told to whoever writes, and to whoever asks whether it is well, or for numbers.
#![cfg(feature = "http")]

use seedlog_agent::{Agent, Config};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::disk::sim::{Fault, FaultKind};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Far more than any step here takes.
const SOON: Duration = Duration::from_secs(20);

async fn start(disk: &Arc<SimDisk>) -> Agent {
    let any = ([127, 0, 0, 1], 0).into();
    // It is scrubbed when a test says so.
    let config = Config { http_addr: Some(any), scrub_bytes_per_s: 0, ..Config::new("/data".into(), any) };
    let agent = Agent::start(config, disk.clone()).await.expect("it starts");
    clock::timeout(SOON, agent.node().ready()).await.expect("it is ready soon").expect("it does not stop");
    agent
}

/// The answer's head and body. Blocking: the agent runs on other threads.
fn ask(agent: &Agent, request: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(agent.http_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    write!(socket, "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

const RECORD: &str = r#"{"record":{"value_text":"a"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_is_said_to_health_checks_and_to_writers() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = start(&disk).await;
    assert!(ask(&agent, "GET /livez", "").starts_with("HTTP/1.1 200"));
    disk.inject(Fault { kind: FaultKind::SyncError, path_suffix: Some(".store".into()), skip: 0, times: 1 });
    let failed = ask(&agent, "POST /v1/records", RECORD);
    assert!(failed.starts_with("HTTP/1.1 503") && failed.contains("\"reason\":\"OUTCOME_UNKNOWN\""), "{failed}");
    assert!(!failed.contains("retry-after"), "it may have been written: {failed}");
    clock::timeout(SOON, agent.stopped()).await.expect("it stops by itself");

    let live = ask(&agent, "GET /livez", "");
    assert!(live.starts_with("HTTP/1.1 503") && live.contains("\"reason\":\"NODE_FAILED\""), "{live}");
    assert!(live.contains("sync") && live.contains(".store"), "{live}");
    let ready = ask(&agent, "GET /readyz", "");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("\"reasons\":[\"NODE_FAILED\",\"NO_LEADER\"]"),
        "{ready}"
    );
    let refused = ask(&agent, "POST /v1/records", RECORD);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_reason_to_restart_or_to_look_elsewhere() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = start(&disk).await;
    disk.set_space_bytes(Some(disk.used_bytes() + 1000));
    // What was seen free a moment ago is believed for a moment.
    let refused = loop {
        let answer = ask(&agent, "POST /v1/records", RECORD);
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 507") && refused.contains("\"reserve_bytes\":67108864"), "{refused}");
    assert!(ask(&agent, "GET /livez", "").starts_with("HTTP/1.1 200"));
    assert!(ask(&agent, "GET /readyz", "").starts_with("HTTP/1.1 200"));
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_counts_from_0_when_it_starts_again_in_the_same_process_beside_another() {
    fn count(agent: &Agent) -> u64 {
        let answer = ask(agent, "GET /metrics", "");
        let line = answer.lines().find_map(|line| line.strip_prefix("seedlog_scrub_passes_total "));
        line.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    }
    let (disk, other_disk) = (Arc::new(SimDisk::new(1)), Arc::new(SimDisk::new(2)));
    let other = start(&other_disk).await;
    other.node().scrub(|_| {}).await.unwrap();
    for life in 0..2 {
        let agent = start(&disk).await;
        assert_eq!(count(&agent), 0, "life {life}");
        for passes in 1..3 {
            agent.node().scrub(|_| {}).await.unwrap();
            assert_eq!(count(&agent), passes, "life {life}");
        }
        agent.shutdown().await;
    }
    assert_eq!(count(&other), 1);
    other.shutdown().await;
}
