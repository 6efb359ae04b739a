//! `/v1/tail`: server-sent events, and what becomes of them when a reader is slow or the node goes.

use crate::node::{Answer, Node, SOON, text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Lines of events, as they arrive. The chunks' own lines are skipped.
struct Events {
    lines: BufReader<TcpStream>,
}

#[derive(Debug)]
struct Event {
    id: Option<u64>,
    name: Option<String>,
    data: Value,
}

impl Events {
    fn open(node: &Node, query: &str, header: &str) -> Events {
        let mut socket = TcpStream::connect(&node.http).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        write!(socket, "GET /v1/tail?{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n").unwrap();
        let mut events = Events { lines: BufReader::new(socket) };
        let head = std::iter::from_fn(|| Some(events.line()).filter(|line| !line.is_empty())).collect::<Vec<_>>();
        assert!(head[0].contains(" 200 "), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it has ended");
        line.trim_end().to_owned()
    }

    fn next(&mut self) -> Event {
        let mut event = Event { id: None, name: None, data: Value::Null };
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.parse().unwrap()),
                Some(("event", name)) => event.name = Some(name.to_owned()),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                None if line.is_empty() && !event.data.is_null() => return event,
                _ => {}
            }
        }
    }

    /// Whatever is left, until the node closes.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).unwrap();
        text(&rest)
    }
}

fn produce(node: &Node, value: &str) {
    let body = json!({"record": {"value_text": value}});
    assert_eq!(node.curl("POST", "/v1/records", &body.to_string()).status, 200);
}

#[test]
fn records_come_as_events_and_whoever_comes_back_goes_on_where_it_was() {
    let node = Node::start_with(&[]);
    produce(&node, "a");
    let mut events = Events::open(&node, "values=text", "");
    let first = events.next();
    assert_eq!((first.id, first.data["value_text"].as_str()), (Some(0), Some("a")));
    produce(&node, "b\r\nwith lines");
    let second = events.next();
    assert_eq!((second.id, second.data["value_text"].as_str()), (Some(1), Some("b\r\nwith lines")));
    drop(events);

    produce(&node, "c");
    let mut again = Events::open(&node, "values=text", "Last-Event-ID: 1\r\n");
    assert_eq!(again.next().data["value_text"], "c");
    // One that is behind the log's end is waited for.
    let mut later = Events::open(&node, "offset=3", "");
    produce(&node, "d");
    assert_eq!(later.next().data["value"], "ZA==");
    assert_eq!(again.next().id, Some(3));

    let head = "GET /v1/tail HTTP/1.1\r\nHost: x\r\nLast-Event-ID: last\r\nConnection: close\r\n\r\n";
    let refused = node.http(head.as_bytes());
    assert_eq!((refused.status, refused.error()["name"].as_str()), (400, Some("Last-Event-ID")));
}

#[test]
fn a_node_that_stops_ends_a_tail_with_an_event_that_says_so() {
    let mut node = Node::start_with(&[]);
    produce(&node, "a");
    let mut events = Events::open(&node, "", "");
    assert_eq!(events.next().id, Some(0));
    let asked = Instant::now();
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    assert!(asked.elapsed().as_secs() < 4, "a tail must not hold it: {:?}", asked.elapsed());
    let last = events.next();
    assert_eq!((last.id, last.name.as_deref()), (None, Some("error")));
    assert_eq!(last.data["error"]["reason"], "SHUTTING_DOWN");
    assert!(!events.rest().contains("data:"));
}

#[test]
fn a_reader_that_does_not_read_pins_no_memory_and_is_told_when_a_trim_overtakes_it() {
    let node = Node::start_with(&[]);
    let mut slow = Events::open(&node, "start=earliest", "");
    let batch = json!({"records": vec![json!({"value_text": "x".repeat(64 << 10)}); 32]}).to_string();
    let mut produced: u64 = 0;
    let resident_before = resident_bytes(&node);
    // Far more than sockets and buffers take: 96 MiB, and a third more as base64.
    while produced < 1536 {
        assert_eq!(node.curl("POST", "/v1/records", &batch).status, 200);
        produced += 32;
    }
    let grown = resident_bytes(&node).saturating_sub(resident_before);
    // What it holds anyway, read or not: up to 16 MiB of the newest entries, and 32 MiB of calls under way.
    assert!(grown < 64 << 20, "{grown} bytes more, and nobody reads");
    assert_eq!(node.curl("POST", "/v1/trim", &json!({"first_offset": produced}).to_string()).status, 200);

    let mut seen = 0;
    let last = loop {
        let event = slow.next();
        match event.id {
            Some(offset) => assert_eq!(offset, seen),
            None => break event,
        }
        seen += 1;
    };
    assert!(seen < produced, "all {seen} of them were sent ahead");
    let error = &last.data["error"];
    assert_eq!([&error["code"], &error["first"]], [&json!("OUT_OF_RANGE"), &json!(produced)]);
}

fn resident_bytes(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_request_that_is_half_sent_does_not_hold_a_stop() {
    let halves: [&[u8]; 4] = [
        b"",
        b"GET /v1/rec",
        b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"rec",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /",
    ];
    let mut node = Node::start_with(&[]);
    let mut sockets: Vec<TcpStream> = halves
        .iter()
        .map(|half| {
            let mut socket = TcpStream::connect(&node.http).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            socket.write_all(half).unwrap();
            socket
        })
        .collect();
    // All of them were read: this one came after them.
    assert_eq!(node.curl("GET", "/livez", "").status, 200);
    let asked = Instant::now();
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    assert!(asked.elapsed().as_secs() < 4, "it waited: {:?}", asked.elapsed());
    // The one whose body did not come is told that nothing was written.
    let refused = Answer::read(&mut sockets[2]);
    assert_eq!((refused.status, refused.error()["reason"].as_str()), (503, Some("SHUTTING_DOWN")));
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
}
