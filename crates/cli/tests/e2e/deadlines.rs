//! Requests that never come to their end. It takes as long as the deadline, so `ci/e2e` runs this.

use crate::node::{Node, SOON, text};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
#[ignore = "takes half a minute: ci/e2e runs it"]
fn whoever_does_not_finish_a_request_is_hung_up_on_after_half_a_minute() {
    let node = Node::start_with(&[]);
    let cases: [(&[u8], &str); 5] = [
        (b"", ""),
        (b"PRI", ""),
        (b"GET /livez HTTP/1.1\r\nHo", ""),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"),
        (b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408 Request Timeout"),
    ];
    std::thread::scope(|scope| {
        for (sent, wanted) in cases {
            let node = &node;
            scope.spawn(move || {
                let mut socket = TcpStream::connect(&node.http).unwrap();
                socket.set_read_timeout(Some(SOON)).unwrap();
                let started = Instant::now();
                socket.write_all(sent).unwrap();
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).unwrap();
                let (answer, sent) = (text(&answer), text(sent));
                assert!(answer.starts_with(wanted) && answer.is_empty() == wanted.is_empty(), "{sent:?}: {answer}");
                assert!(started.elapsed() >= Duration::from_secs(29), "{sent:?}: {:?}", started.elapsed());
            });
        }
    });
}
