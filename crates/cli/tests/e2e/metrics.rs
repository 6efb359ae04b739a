//! A node's numbers, as Prometheus reads them.

use crate::node::{Answer, Node, SOON, must};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;

/// By name, without those that have labels.
#[derive(Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// None if nobody is there to answer.
    pub fn of(http_addr: &str) -> Option<Metrics> {
        let mut socket = TcpStream::connect(http_addr).ok()?;
        socket.set_read_timeout(Some(SOON)).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Some(Metrics::read(&Answer::read(&mut socket)))
    }

    fn read(answer: &Answer) -> Metrics {
        assert_eq!(answer.status, 200, "{answer:?}");
        let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(answer.head.contains(content_type), "{answer:?}");
        assert!(answer.body.ends_with("\n# EOF\n"), "{answer:?}");
        let samples = answer.body.lines().filter(|line| !line.starts_with('#') && !line.contains('{'));
        let sample = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        Metrics(samples.map(sample).collect())
    }

    /// `name` is without what all names begin with.
    pub fn get(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"))
    }

    /// None as long as the node does not know.
    pub fn find(&self, name: &str) -> Option<f64> {
        self.0.get(&format!("seedlog_{name}")).copied()
    }
}

#[test]
fn a_node_shows_where_it_is_and_what_a_scrub_has_read() {
    let node = Node::start_with(&[]);
    must(&["produce", "--addr", &node.rpc], b"a record\nand another\n");
    must(&["scrub", "--addr", &node.rpc], b"");
    let seen = Metrics::of(&node.http).expect("it is there");
    assert_eq!(["ready", "is_leader", "next_offset", "marked"].map(|name| seen.get(name)), [1.0, 1.0, 2.0, 0.0]);
    assert!(seen.get("scrub_passes_total") >= 1.0 && seen.get("scrubbed_bytes_total") > 0.0, "{seen:?}");
}
