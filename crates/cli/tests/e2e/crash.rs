//! kill -9 in the middle of a produce: what was acked is there, in order, and the whole is a prefix.

use crate::node::{Node, must, seedlog, text};
use std::io::{Read, Write};
use std::process::Stdio;

/// Enough that acks come in while later lines are still on their way.
const ACKED_BEFORE_THE_KILL: &str = "20000";

#[test]
fn after_kill_9_what_was_acked_is_there_in_order_and_nothing_else_but_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut before = Vec::new();
    let mut acked_before_a_kill = 0;
    for round in 0..3 {
        let node = Node::start(&data);
        assert_eq!(must(&["consume", "--addr", &node.rpc], b""), before, "nothing changes by a restart");
        let start = before.iter().filter(|byte| **byte == b'\n').count() as u64;

        // Lines without end, until nobody takes them any more.
        let mut producer = seedlog(&["produce", "--output", "json", "--addr", &node.rpc])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = producer.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            let mut number = 0_u64;
            while stdin.write_all(line(round, number).as_bytes()).is_ok() {
                number += 1;
            }
        });
        // Returns when that record is there.
        let kill_at = (start + ACKED_BEFORE_THE_KILL.parse::<u64>().unwrap()).to_string();
        must(&["consume", "--follow", "--from", &kill_at, "-n", "1", "--addr", &node.rpc], b"");
        node.kill();

        let (mut summary, mut stderr) = (Vec::new(), Vec::new());
        producer.stdout.take().unwrap().read_to_end(&mut summary).unwrap();
        producer.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let code = producer.wait().unwrap().code();
        feeding.join().unwrap();
        let tally: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        let count = |name: &str| tally[name].as_u64().unwrap();
        acked_before_a_kill += count("acked");
        let stderr = text(&stderr);
        assert!(stderr.contains(&format!("in the log:         {}\n", count("acked"))), "{stderr}");
        assert_eq!(code, Some(if count("unknown") > 0 { 3 } else { 1 }), "{tally}: {stderr}");

        let node = Node::start(&data);
        let after = must(&["consume", "--addr", &node.rpc], b"");
        assert!(after.starts_with(&before), "what was there before the round is there");
        let mut written = 0;
        for (number, found) in after[before.len()..].split_inclusive(|byte| *byte == b'\n').enumerate() {
            assert_eq!(text(found), line(round, number as u64), "in order, without a gap");
            written += 1;
        }
        assert!(written >= count("acked"), "{written} are there of {tally}");
        assert!(written <= count("acked") + count("unknown"), "{written} are there of {tally}");
        before = after;
        node.kill();
    }
    // What can be read may be so a moment before its answer is sent; in one round of three it is not.
    assert!(acked_before_a_kill > 0);
}

fn line(round: u64, number: u64) -> String {
    format!("round {round}, line {number}\n")
}
