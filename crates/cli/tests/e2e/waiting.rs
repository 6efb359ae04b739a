//! `seedlog agent` without a cluster to join: it is alive, not ready, says why, and goes when it is told to.

use crate::metrics::Metrics;
use crate::node::{Answer, SOON, run, seedlog, text};
use seedlog_runtime::rpc::channel;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

struct Waiting {
    child: Child,
    rpc: SocketAddr,
    http: SocketAddr,
    /// Where somebody was to be.
    nobody: SocketAddr,
    _data_dir: tempfile::TempDir,
}

impl Waiting {
    fn start() -> Waiting {
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (rpc, http) = (tcp(), tcp());
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let data_dir = tempfile::tempdir().unwrap();
        let child = seedlog(&["agent", "--bind-addr", "127.0.0.1:0", "--start-join-addrs", &nobody.to_string()])
            .args(["--data-dir", data_dir.path().to_str().unwrap(), "--http-addr", &http.to_string()])
            .args(["--rpc-port", &rpc.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Waiting { child, rpc, http, nobody, _data_dir: data_dir }
    }

    fn get(&self, path: &str) -> Answer {
        let asked = Instant::now();
        let mut socket = loop {
            match TcpStream::connect(self.http) {
                Ok(socket) => break socket,
                Err(error) => assert!(asked.elapsed() < SOON, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Answer::read(&mut socket)
    }

    fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not stop");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Already gone, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_cluster_is_alive_and_not_ready_says_why_and_stops_when_told_to() {
    let mut node = Waiting::start();
    assert_eq!(node.get("/livez").status, 200);
    let wanted = format!("waits for a node of a cluster; asked {} (no answer)", node.nobody);
    let started = Instant::now();
    let ready = loop {
        let ready = node.get("/readyz");
        if ready.body.contains(&wanted) {
            break ready;
        }
        assert!(started.elapsed() < SOON, "{ready:?}");
    };
    assert_eq!((ready.status, &ready.error()["reasons"]), (503, &serde_json::json!(["STARTING"])));
    let refused = node.get("/v1/servers");
    assert_eq!((refused.status, &refused.error()["reason"]), (503, &"STARTING".into()), "{refused:?}");
    assert!(refused.head.contains("retry-after: 1") && refused.body.contains(&wanted), "{refused:?}");
    assert_eq!(node.get("/nowhere").status, 404);
    let seen = Metrics::of(&node.http.to_string()).expect("it is there");
    assert_eq!([seen.get("ready"), seen.get("repairing")], [0.0, 0.0]);

    let addr = node.rpc.to_string();
    let mut health = HealthClient::new(channel(&addr).unwrap());
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "log.v1.Log"] {
        let checked = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(checked.status(), ServingStatus::NotServing);
    }
    let mut watched = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);

    let status = run(&["status", "--addr", &addr], b"");
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stderr).contains(&wanted), "{}", text(&status.stderr));

    let (code, _node) = tokio::task::spawn_blocking(move || (node.terminate(), node)).await.unwrap();
    assert_eq!(code, Some(0), "a watcher of its health does not hold it");
}
