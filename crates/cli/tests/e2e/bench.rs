//! `seedlog bench`: what it says is what was done. How fast that was, no test asks.

use crate::node::{Node, must, run, text};
use serde_json::Value;

fn bench(args: &[&str]) -> Value {
    let all = [&["bench", "--output", "json", "--warm-up", "0"], args].concat();
    serde_json::from_slice(&must(&all, b"")).unwrap()
}

#[test]
fn every_mode_reports_what_it_did_to_a_node_of_its_own_and_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().to_str().unwrap();
    for (mode, records, calls) in [("unary", 30, 30), ("stream", 30, 30), ("batch", 64, 1), ("consume", 30, 1)] {
        let report = bench(&["--mode", mode, "--count", "30", "--size", "100", "--data-dir", dir]);
        let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
        assert_eq!((report["records"].as_u64(), report["calls"].as_u64()), (Some(records), Some(calls)), "{report}");
        assert_eq!(number("value_bytes"), number("records") * 100.0, "{report}");
        assert!(0.0 < number("p50_us") && number("p50_us") <= number("p99_us"), "{report}");
        assert!(number("p99_us") <= number("p99_9_us") && number("p99_9_us") <= number("max_us"), "{report}");
        assert_eq!(parent.path().read_dir().unwrap().count(), 0, "{mode}");
    }
}

#[test]
fn what_it_counts_as_acknowledged_is_in_the_log_of_the_node_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let first = bench(&["--addr", &node.rpc, "--mode", "batch", "--batch", "8", "--count", "80", "--in-flight", "3"]);
    let second = bench(&["--addr", &node.rpc, "--mode", "unary", "--count", "20", "--in-flight", "7"]);
    let values = must(&["consume", "--addr", &node.rpc, "--output", "json"], b"");
    // One more batch and one more record went ahead, to see whether they are taken at all.
    assert_eq!(text(&values).lines().count(), 80 + 8 + 20 + 1);
    assert_eq!((first["records"].as_u64(), second["records"].as_u64()), (Some(80), Some(20)));
}

#[test]
fn a_consume_reads_again_what_there_is_until_it_has_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    must(&["produce", "--addr", &node.rpc], b"a\nbc\n");
    let report = bench(&["--addr", &node.rpc, "--mode", "consume", "--count", "2", "--batch", "3", "--in-flight", "2"]);
    assert_eq!((report["records"].as_u64(), report["value_bytes"].as_u64()), (Some(2), Some(3)), "{report}");
}

#[test]
fn what_the_node_would_refuse_is_said_in_the_words_of_the_command_line() {
    for (args, wanted) in [
        (&["--size", "1048577"][..], "--size 1048577: a record of 1048577 bytes is over the node's limit of 1048576"),
        (
            &["--mode", "batch", "--batch", "5", "--size", "1048576"],
            "bytes are over the node's limit for a batch, 4194304",
        ),
        (&["--in-flight", "0"], "0 is not in 1..=1024"),
    ] {
        let output = run(&[&["bench"], args].concat(), b"");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_node_that_is_not_there_is_named() {
    let output = run(&["bench", "--addr", "127.0.0.1:1", "--count", "1"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot reach 127.0.0.1:1"), "{}", text(&output.stderr));
}
