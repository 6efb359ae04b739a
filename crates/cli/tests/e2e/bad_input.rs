//! What a network and its users may send. The node answers, or closes; and goes on.

use crate::node::{Answer, Node, SOON, must, run, seedlog, text};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn serves(node: &Node) {
    assert_eq!(node.curl("POST", "/", r#"{"record":{"value":"aGk="}}"#).status, 200);
    must(&["produce", "--addr", &node.rpc], b"hi\n");
}

fn connect(addr: &str) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.set_write_timeout(Some(SOON)).unwrap();
    socket
}

#[test]
fn bytes_that_are_no_protocol_are_hung_up_on() {
    let node = Node::start_with(&[]);
    let garbage: Vec<u8> = (0..1 << 16).map(|number: u32| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for addr in [&node.rpc, &node.http] {
        for sent in [&garbage[..], b"GET / HTTP/1.1\r\n\r\n", b"\0"] {
            let mut socket = connect(addr);
            // It may hang up before it has taken everything.
            let _ = socket.write_all(sent);
            let _ = socket.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let ended = socket.read_to_end(&mut answer);
            let hung = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!hung, "{addr}: neither answered nor closed");
        }
    }
    serves(&node);
}

#[test]
fn a_body_that_breaks_off_or_never_ends_is_not_waited_for_in_vain() {
    let node = Node::start_with(&[]);
    // Half a body.
    let mut socket = connect(&node.http);
    socket.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"rec").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!text(&answer).contains("200 OK"), "{}", text(&answer));

    // Chunks without end: refused when there are more than a body may have.
    let mut socket = connect(&node.http);
    let mut chunks = socket.try_clone().unwrap();
    chunks.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n").unwrap();
    let sending = std::thread::spawn(move || {
        let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
        let mut sent = 0;
        // Until it hangs up; it has to by then.
        while sent < 64 << 20 && chunks.write_all(&chunk).is_ok() {
            sent += 0x10000;
        }
        sent
    });
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(sending.join().unwrap() < 64 << 20, "all of it was taken");
    // A reset may overtake the answer; if it arrives, it says why.
    assert!(answer.is_empty() || text(&answer).contains(" 413 "), "{}", text(&answer));
    serves(&node);
}

#[test]
fn one_connection_carries_many_requests_and_errors_do_not_end_it() {
    let node = Node::start_with(&[]);
    let mut socket = connect(&node.http);
    let request = |body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let good = r#"{"record":{"value":"aGk="}}"#;
    for body in [good, "{", good] {
        socket.write_all(request(body).as_bytes()).unwrap();
    }
    socket.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let answer = Answer::read(&mut socket);
    let whole = format!("{}\r\n\r\n{}", answer.head, answer.body);
    let wanted = ["200 ok", "{\"offset\":0}", "400 Bad Request", "200 OK", "{\"offset\":1}", "404 Not Found"];
    let mut rest = whole.as_str();
    for part in wanted {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing or out of order in {whole}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_command_that_makes_no_sense_is_refused_with_2_and_a_hint() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["consume", "--from", "yesterday"], "neither `earliest`, `latest`, an offset"),
        (&["consume", "--from", "-1"], "\"-1\" is neither `earliest`, `latest`, an offset"),
        (&["consume", "-n", "-1"], "-1"),
        (&["dev", "--http-addr", "8080"], "such as 127.0.0.1:8080"),
        (&["status", "--log", "a=b=c"], "seedlog: --log \"a=b=c\""),
        (&["status", "--addr", "nowhere"], "host:port"),
        (&["dev", "--rpc-port", "65536"], "65536"),
    ];
    for (args, wanted) in cases {
        let output = run(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(wanted), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_node_that_is_not_there_and_a_file_that_is_not_there_are_named() {
    // It was there a moment ago.
    let mut node = Node::start_with(&[]);
    let addr = node.rpc.clone();
    assert_eq!(node.terminate(), Some(0));
    for args in [&["consume", "--addr", &addr][..], &["produce", "--addr", &addr], &["status", "--addr", &addr]] {
        let output = run(args, b"a\n");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(&format!("cannot reach {addr}")) && stderr.contains("seedlog dev"), "{stderr}");
    }
    let output = run(&["produce", "--output", "json", "--addr", &addr], b"a\n");
    assert_eq!(output.status.code(), Some(1));
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&tally["acked"], &tally["not_written"], &tally["unknown"]], [0, 0, 0]);
    for file in ["/nowhere/file", "/"] {
        let output = run(&["produce", file, "--addr", &addr], b"");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("cannot open {file}: ")), "{stderr}");
    }
}

#[test]
fn a_wrong_filter_is_blamed_on_where_it_came_from() {
    let output = seedlog(&["status"]).env("SEEDLOG_LOG", "a=b=c").output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("SEEDLOG_LOG is \"a=b=c\"") && !stderr.contains("--log"), "{stderr}");
}

#[test]
fn a_port_that_speaks_something_else_is_said_to() {
    let node = Node::start_with(&[]);
    let failed = |command: &str, addr: &str| {
        let output = run(&[command, "--addr", addr], b"a\n");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    for command in ["status", "produce", "consume"] {
        let stderr = failed(command, &node.http);
        assert!(stderr.contains(&format!("this port is for HTTP/JSON, gRPC is at {}", node.rpc)), "{stderr}");
    }
    // What is no node at all.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut socket in other.incoming().flatten() {
            // It may have hung up. Its own words are read to their end: a reset would overtake the answer.
            let _ = socket.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    let stderr = failed("status", &addr);
    assert!(stderr.contains(&format!("{addr} does not answer as gRPC does")), "{stderr}");
    serves(&node);
}
