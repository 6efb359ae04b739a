//! How a node comes and goes, and what it says when it cannot.

use crate::node::{Node, SOON, must, run, seedlog, text};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

#[test]
fn sigterm_ends_a_node_with_0_also_while_somebody_follows_and_the_log_stays() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut node = Node::start(&data);
    must(&["produce", "--addr", &node.rpc], b"kept\n");
    let mut follower = seedlog(&["consume", "--follow", "--addr", &node.rpc])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "kept\n");

    let asked = Instant::now();
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    assert!(asked.elapsed() < SOON / 2, "a follower must not hold it: {:?}", asked.elapsed());
    let mut stderr = String::new();
    follower.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(1));
    assert!(stderr.contains("shutting down") && stderr.contains("--from 1"), "{stderr}");

    let node = Node::start(&data);
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "kept\n");
}

#[test]
fn a_temporary_directory_is_removed_at_exit() {
    let mut node = Node::start_with(&[]);
    assert!(node.data_dir.join("groups").is_dir());
    assert_eq!(node.terminate(), Some(0));
    assert!(!node.data_dir.exists());
}

#[test]
fn a_follower_gets_what_comes_later_and_ends_quietly_when_its_reader_does() {
    let node = Node::start_with(&[]);
    let mut follower = seedlog(&["consume", "--follow", "--from", "latest", "--addr", &node.rpc])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(follower.stdout.take().unwrap());
    // `latest` is decided by the server when it is reached; records are produced until one arrives.
    let arrived = std::thread::spawn(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
        // And with the thread its end of the pipe goes.
    });
    while !arrived.is_finished() {
        must(&["produce", "--addr", &node.rpc], b"news\n");
    }
    assert_eq!(arrived.join().unwrap(), "news\n");
    // It notices when it writes.
    let started = Instant::now();
    while follower.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < SOON, "it goes on without a reader");
        must(&["produce", "--addr", &node.rpc], b"news\n");
    }
    let mut stderr = String::new();
    follower.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((follower.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_second_process_on_a_directory_is_refused_and_the_first_does_not_notice() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Node::start(&data);
    let shown = data.to_str().unwrap();
    let second = run(&["dev", "--data-dir", shown, "--rpc-port", "0", "--http-addr", "127.0.0.1:0"], b"");
    assert_eq!(second.status.code(), Some(1));
    let what = format!("seedlog: data directory: {shown} is in use by another process");
    assert_eq!(text(&second.stderr), format!("{what}: stop that one, or use another directory\n"));
    let verify = run(&["verify", shown], b"");
    assert_eq!(verify.status.code(), Some(2));
    assert!(text(&verify.stderr).contains("in use by a running node"), "{}", text(&verify.stderr));
    must(&["produce", "--addr", &node.rpc], b"still here\n");
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let node = Node::start_with(&[]);
    let rpc_port = node.rpc.rsplit(':').next().unwrap();
    let cases = [
        (["--rpc-port", rpc_port, "--http-addr", "127.0.0.1:0"], format!("{} for gRPC", node.rpc)),
        (["--rpc-port", "0", "--http-addr", node.http.as_str()], format!("{} for HTTP", node.http)),
    ];
    for (args, wanted) in cases {
        let refused = run(&[&["dev"], &args[..]].concat(), b"");
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("cannot listen on {wanted}")), "{stderr}");
        assert!(stderr.contains("choose another port"), "{stderr}");
    }
}

#[test]
fn verify_finds_a_flipped_byte_and_the_node_refuses_to_start_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let shown = data.to_str().unwrap();
    let mut node = Node::start(&data);
    // One right after the other: a pause is sealed, and then no batch right behind the damage would say where it ends.
    for round in 0..20 {
        let record = serde_json::json!({ "record": { "value_text": format!("record {round} {}", "x".repeat(100)) } });
        assert_eq!(node.curl("POST", "/v1/records", &record.to_string()).status, 200);
    }
    assert_eq!(node.terminate(), Some(0));
    let sound = run(&["verify", shown], b"");
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound.stderr));
    assert!(text(&sound.stdout).contains("record offsets 0..20"), "{}", text(&sound.stdout));

    // Nobody holds a copy; what only says that somebody might is not missed.
    let copy = dir.path().join("copy");
    assert!(Command::new("cp").arg("-r").args([&data, &copy]).status().unwrap().success());
    std::fs::remove_file(copy.join("lock")).unwrap();
    assert_eq!(
        text(&must(&["verify", copy.to_str().unwrap()], b"")),
        text(&sound.stdout).replace(shown, copy.to_str().unwrap())
    );
    assert!(!copy.join("lock").exists(), "nothing was changed");

    let store = data.join("groups/0/00000000000000000000.store");
    let mut bytes = std::fs::read(&store).unwrap();
    let in_a_record = bytes.windows(10).position(|window| window == b"record 10 ").unwrap();
    bytes[in_a_record] ^= 1;
    std::fs::write(&store, &bytes).unwrap();

    let damaged = run(&["verify", shown], b"");
    assert_eq!(damaged.status.code(), Some(1), "{}", text(&damaged.stderr));
    let report = text(&damaged.stdout);
    assert!(report.contains("DAMAGE: ") && report.contains(store.to_str().unwrap()), "{report}");
    assert!(report.contains("record offsets 10..11"), "{report}");
    let as_json = run(&["verify", shown, "--output", "json"], b"");
    let as_json: serde_json::Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!([&as_json["sound"], &as_json["damage"][0]["first_offset"]], [&false.into(), &serde_json::json!(10)]);

    let refused = run(&["dev", "--data-dir", shown, "--rpc-port", "0", "--http-addr", "127.0.0.1:0"], b"");
    assert_eq!(refused.status.code(), Some(1));
    let stderr = text(&refused.stderr);
    assert!(stderr.contains("damaged log") && stderr.contains("record offsets 10"), "{stderr}");
    assert_eq!(std::fs::read(&store).unwrap(), bytes, "nothing was changed");
}

#[test]
fn what_is_no_data_directory_is_not_checked_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["verify", dir.path().to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not a seedlog data directory"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_fails_ends_the_node_with_the_reason_and_what_was_acked_is_there_on_a_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // The file size limit is a disk that refuses a write in the middle of the log (in blocks of 512).
    let mut node = Node::start_limited(&data, "20480");
    let line = format!("{}\n", "x".repeat(1023));
    let produced = run(&["produce", "--output", "json", "--addr", &node.rpc], line.repeat(20_000).as_bytes());
    assert!(matches!(produced.status.code(), Some(1 | 3)), "{}", text(&produced.stderr));
    let tally: serde_json::Value = serde_json::from_slice(&produced.stdout).unwrap();
    let acked = tally["acked"].as_u64().unwrap();
    assert!((1..20_000).contains(&acked), "{tally}");
    assert_eq!(node.wait(), Some(1), "{}", node.stderr());
    let stderr = node.stderr();
    assert!(stderr.contains("seedlog: the node has stopped: ") && stderr.contains(".store"), "{stderr}");

    let node = Node::start(&data);
    let read = must(&["consume", "--addr", &node.rpc], b"");
    let there = (read.len() / line.len()) as u64;
    assert!(read == line.repeat(there as usize).as_bytes(), "whole lines, as they were sent");
    assert!((acked..=20_000).contains(&there), "{there} are there of {tally}");
}

/// A produce whose input has not ended; its first two lines are in the log.
fn producer(node: &Node) -> (Child, impl Write + use<>) {
    let mut producer = seedlog(&["produce", "--output", "json", "--addr", &node.rpc])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = producer.stdin.take().unwrap();
    input.write_all(b"a\nb\n").unwrap();
    while text(&run(&["consume", "--addr", &node.rpc], b"").stdout) != "a\nb\n" {}
    (producer, input)
}

/// It ends although its input does not: its stderr, with what it must say in any case checked.
fn ends(mut producer: Child, input: impl Write) -> String {
    let started = Instant::now();
    while producer.try_wait().unwrap().is_none() {
        if started.elapsed() > SOON {
            producer.kill().unwrap();
            panic!("it waits for input that nobody can take");
        }
    }
    drop(input);
    let output = producer.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("not sent: what there is from line 3 on"), "{stderr}");
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // A record can be read a moment before its answer is sent: a node killed in that moment is silent.
    let unknown = tally["unknown"].as_u64().unwrap();
    assert_eq!(tally["acked"].as_u64().unwrap() + unknown, 2, "{stderr}");
    assert_eq!(output.status.code(), Some(if unknown > 0 { 3 } else { 1 }), "{stderr}");
    stderr
}

#[test]
fn a_producer_without_input_notices_at_once_that_its_node_is_gone() {
    let node = Node::start_with(&[]);
    let (idle, input) = producer(&node);
    node.kill();
    ends(idle, input);

    let mut node = Node::start_with(&[]);
    let (idle, input) = producer(&node);
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    let stderr = ends(idle, input);
    assert!(stderr.contains("this server is shutting down"), "{stderr}");
}

#[test]
fn an_interrupted_producer_says_what_went_in() {
    let node = Node::start_with(&[]);
    let (interrupted, input) = producer(&node);
    let pid = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let stderr = ends(interrupted, input);
    assert!(stderr.starts_with("seedlog: interrupted\n"), "{stderr}");
}

#[test]
fn http_listens_on_a_name_too() {
    let node = Node::start_with(&["--http-addr", "localhost:0"]);
    assert_eq!(node.curl("POST", "/", r#"{"record":{"value":"aGk="}}"#).status, 200);
}

#[test]
fn input_that_finds_the_stream_ended_is_not_dropped_in_silence() {
    for kill in [true, false] {
        let mut node = Node::start_with(&[]);
        let (producer, mut input) = producer(&node);
        if kill {
            node.kill();
        } else {
            assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
        }
        // It may end before it has read all of this.
        let _ = input.write_all(&b"late\n".repeat(100_000));
        drop(input);
        let output = producer.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 3)), "kill {kill}: {:?} {stderr}", output.status);
        assert!(stderr.contains("not sent: what there is from line"), "{stderr}");
        let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!kill || tally["acked"].as_u64().unwrap() + tally["unknown"].as_u64().unwrap() >= 2, "{stderr}");
        assert!(kill || tally["acked"] == 2, "{stderr}");
    }
}
