//! A start that cannot be says what, where, and what to do; and leaves nothing behind.

use seedlog_agent::{Agent, Config, StopReason};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn config() -> Config {
    Config::new("/data".into(), ([127, 0, 0, 1], 0).into())
}

async fn refusal(config: Config, disk: &Arc<SimDisk>) -> String {
    match Agent::start(config, disk.clone()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_value_it_cannot_run_with_is_named_before_anything_is_touched() {
    let disk = Arc::new(SimDisk::new(1));
    let refused = refusal(Config { data_dir: "relative".into(), ..config() }, &disk).await;
    assert_eq!(refused, "configuration: data_dir is \"relative\", it must be an absolute path");
    assert_eq!(disk.paths(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_again_after_shutdown() {
    let disk = Arc::new(SimDisk::new(1));
    let first = Agent::start(config(), disk.clone()).await.unwrap();
    let refused = refusal(config(), &disk).await;
    assert!(refused.starts_with("data directory: /data is in use by another process: "), "{refused}");
    first.shutdown().await;
    let second = Agent::start(config(), disk.clone()).await.unwrap();
    second.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_directory_is_left_free() {
    let disk = Arc::new(SimDisk::new(1));
    let first = Agent::start(config(), Arc::new(SimDisk::new(2))).await.unwrap();
    let taken = first.rpc_addr();
    let refused = refusal(Config { rpc_addr: taken, ..config() }, &disk).await;
    assert!(refused.starts_with(&format!("cannot listen on {taken} for gRPC: ")), "{refused}");
    assert!(refused.ends_with("; choose another port, or stop what listens there"), "{refused}");
    let second = Agent::start(config(), disk).await.unwrap();
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test]
async fn a_damaged_log_is_refused_with_file_position_and_offsets() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = Agent::start(config(), disk.clone()).await.unwrap();
    agent.node().ready().await.unwrap();
    for _ in 0..20 {
        agent.node().produce(vec!["x".repeat(100).into()]).await.unwrap();
    }
    agent.shutdown().await;
    let store = disk.paths().into_iter().find(|path| path.extension().is_some_and(|e| e == "store")).unwrap();
    let bytes = disk.durable_bytes(&store).unwrap();
    // In the middle of what was written.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(disk.corrupt(&store, written as u64 / 2, 0xff));

    let refused = refusal(config(), &disk).await;
    assert!(refused.contains("damaged log") && refused.contains("at byte"), "{refused}");
    assert!(refused.contains(&store.display().to_string()) && refused.contains("record offsets"), "{refused}");
    assert!(refused.contains("seedlog verify"), "{refused}");
}

#[tokio::test]
async fn a_failed_sync_stops_the_agent_and_says_why() {
    use seedlog_runtime::disk::sim::{Fault, FaultKind};
    let disk = Arc::new(SimDisk::new(1));
    let agent = Agent::start(config(), disk.clone()).await.unwrap();
    agent.node().ready().await.unwrap();
    disk.inject(Fault { kind: FaultKind::SyncError, path_suffix: Some(".store".into()), skip: 0, times: 1 });
    agent.node().produce(vec!["lost".into()]).await.unwrap_err();
    let reason = clock::timeout(Duration::from_secs(20), agent.stopped()).await.expect("it stops by itself");
    let StopReason::Failed(why) = reason else { panic!("it was not asked to stop") };
    assert!(why.contains(".store"), "{why}");
    agent.shutdown().await;
}
