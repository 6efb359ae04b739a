//! What a record may carry, on what conditions it is appended, and where reading may start.

use crate::node::{Node, must, run, text};
use serde_json::Value;

fn consumed(node: &Node, args: &[&str]) -> Vec<Value> {
    let lines = text(&must(&[&["consume", "--json", "--addr", &node.rpc], args].concat(), b""));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn produce(node: &Node, args: &[&str], input: &[u8]) -> Value {
    let output = must(&[&["produce", "--output", "json", "--addr", &node.rpc], args].concat(), input);
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn a_record_has_a_key_and_headers_and_may_be_the_whole_input() {
    let node = Node::start_with(&[]);
    let args = ["--key", "k", "--header", "a=1", "--header", "b=x=y", "--whole"];
    assert_eq!(produce(&node, &args, b"two\nlines\n")["acked"], 1);
    assert_eq!(produce(&node, &["--whole"], b"")["acked"], 1);
    let records = consumed(&node, &[]);
    assert_eq!([&records[0]["value"], &records[0]["key"]], ["dHdvCmxpbmVzCg==", "aw=="]);
    let headers = &records[0]["headers"];
    assert_eq!([&headers[0]["name"], &headers[0]["value"]], ["a", "MQ=="]);
    assert_eq!([&headers[1]["name"], &headers[1]["value"]], ["b", "eD15"]);
    assert_eq!(records[1]["value"], "");
    assert!(records[1].get("key").is_none() && records.len() == 2, "{records:?}");
    let bad = run(&["produce", "--header", "nothing", "--addr", &node.rpc], b"x\n");
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("--header \"nothing\": expected NAME=VALUE"), "{}", text(&bad.stderr));
    let long = run(&["produce", "--whole", "--addr", &node.rpc], &vec![b'x'; 9 << 20]);
    assert_eq!(long.status.code(), Some(1));
    assert!(text(&long.stderr).contains("more than 8388608 bytes"), "{}", text(&long.stderr));
}

#[test]
fn what_one_log_prints_as_json_another_takes_in() {
    let (from, to) = (Node::start_with(&[]), Node::start_with(&[]));
    must(&["produce", "--addr", &from.rpc, "--key", "\u{1}", "--header", "h=v"], b"a\n\xff\x00\n\n");
    let lines = must(&["consume", "--json", "--addr", &from.rpc], b"");
    assert_eq!(produce(&to, &["--json"], &lines)["acked"], 3);
    let without = |records: Vec<Value>| -> Vec<Value> {
        let mut records = records;
        for record in &mut records {
            for set_by_the_server in ["append_time_ms", "term"] {
                record.as_object_mut().unwrap().remove(set_by_the_server).unwrap();
            }
        }
        records
    };
    assert_eq!(without(consumed(&from, &[])), without(consumed(&to, &[])));

    // What comes before the line that is none goes in.
    let broken =
        run(&["produce", "--json", "--addr", &to.rpc], b"{\"value\":\"\"}\n{\"valu\":\"\"}\n{\"value\":\"\"}\n");
    assert_eq!(broken.status.code(), Some(1));
    let stderr = text(&broken.stderr);
    assert!(stderr.contains("line 2 is no record: unknown field `valu`"), "{stderr}");
    assert!(stderr.contains("in the log:         1\n") && stderr.contains("from line 2 on"), "{stderr}");
    assert_eq!(consumed(&to, &[]).len(), 4);
}

#[test]
fn a_producer_that_sends_again_appends_nothing_twice_whatever_the_pieces() {
    let node = Node::start_with(&[]);
    let args = ["--producer-id", "import"];
    let first = produce(&node, &args, b"a\nb\nc\n");
    assert_eq!([&first["acked"], &first["repeated"]], [3, 0]);
    let again = produce(&node, &args, b"a\nb\nc\nd\n");
    assert_eq!([&again["acked"], &again["repeated"], &again["last_offset"]], [4, 3, 3]);
    let shown = text(&must(&["produce", "--addr", &node.rpc, "--producer-id", "import", "--sequence", "2"], b"c\nd\n"));
    assert_eq!(shown, "2 records acknowledged, offsets 2 to 3 (2 were there already)\n");
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "a\nb\nc\nd\n");

    let gap = run(&["produce", "--addr", &node.rpc, "--producer-id", "import", "--sequence", "9"], b"z\n");
    assert_eq!(gap.status.code(), Some(1));
    let stderr = text(&gap.stderr);
    assert!(stderr.contains("sequence 9 leaves a gap: sequence 4 is next: go on with --sequence"), "{stderr}");
    let alone = run(&["produce", "--sequence", "9"], b"z\n");
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("--producer-id"), "{}", text(&alone.stderr));
}

#[test]
fn an_expected_offset_holds_for_the_whole_input() {
    let node = Node::start_with(&[]);
    let many = "x\n".repeat(2500);
    assert_eq!(produce(&node, &["--expect-offset", "0"], many.as_bytes())["last_offset"], 2499);
    // The first request is refused; the one behind it expects what is the end now, and must not go in.
    let behind = run(&["produce", "--expect-offset", "1500", "--addr", &node.rpc], many.as_bytes());
    let stderr = text(&behind.stderr);
    assert_eq!(behind.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("expected offset 1500, the next offset is 2500"), "{stderr}");
    assert_eq!(consumed(&node, &["--from", "2499"]).len(), 1);
}

#[test]
fn reading_starts_at_a_time_and_stops_at_a_size() {
    let node = Node::start_with(&[]);
    must(&["produce", "--addr", &node.rpc], b"one\n");
    let first = consumed(&node, &[])[0]["append_time_ms"].as_i64().unwrap();
    // The next one's time is a later one.
    while consumed(&node, &["--from", "1"]).is_empty() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        if now > first {
            must(&["produce", "--addr", &node.rpc], b"two\nthree\n");
        }
    }
    let values = |args: &[&str]| text(&must(&[&["consume", "--addr", &node.rpc], args].concat(), b""));
    assert_eq!(values(&["--from", "-1h"]), "one\ntwo\nthree\n");
    assert_eq!(values(&["--from", "@0"]), "one\ntwo\nthree\n");
    assert_eq!(values(&["--from", "2001-01-01T00:00:00Z", "--follow", "-n", "1"]), "one\n");
    assert_eq!(values(&["--from", "2999-01-01T00:00:00Z"]), "");
    let later = consumed(&node, &["--from", "1"])[0]["append_time_ms"].as_i64().unwrap();
    assert!(later > first);
    let seconds = later.div_euclid(1000);
    let millis = later.rem_euclid(1000);
    let stamp =
        std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"]).output();
    let stamp = format!("{}.{millis:03}Z", text(&stamp.unwrap().stdout).trim());
    assert_eq!(values(&["--from", &stamp]), "two\nthree\n");

    assert_eq!(values(&["--max-bytes", "6"]), "one\ntwo\n");
    assert_eq!(values(&["--max-bytes", "7"]), "one\ntwo\n");
    assert_eq!(values(&["--max-bytes", "1", "--from", "2"]), "three\n");
}
