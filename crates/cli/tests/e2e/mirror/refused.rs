//! What a mirror refuses, and says of it; and what it knows of itself after it was forgotten.

use super::side::{as_mirrored, produce, read_all, without_place};
use crate::node::{Node, must, run, text};
use seedlog_client::{Cluster, Conditions, ProducerSequence, Record};
use serde_json::{Value, json};

fn mirror<'a>(from: &'a Node, to: &'a Node, more: &[&'a str]) -> Vec<&'a str> {
    [&["mirror", "--from", &from.rpc, "--addr", &to.rpc], more].concat()
}

/// Copies all that there is.
fn once(from: &Node, to: &Node, more: &[&str]) {
    must(&mirror(from, to, &[&["--once"], more].concat()), b"");
}

/// What it says when it fails.
fn refusal(from: &Node, to: &Node, more: &[&str]) -> String {
    let output = run(&mirror(from, to, &[&["--once"], more].concat()), b"");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn status(from: &Node, to: &Node) -> Value {
    serde_json::from_slice(&must(&mirror(from, to, &["--status", "--output", "json"]), b"")).unwrap()
}

fn values(node: &Node) -> String {
    text(&must(&["consume", "--addr", &node.rpc], b""))
}

#[test]
fn a_cluster_is_not_mirrored_into_itself_nor_its_records_back_to_where_they_are_from() {
    let (a, b, c) = (Node::start_with(&[]), Node::start_with(&[]), Node::start_with(&[]));
    produce(&a.rpc, &["a0", "a1"]);
    assert!(refusal(&a, &a, &[]).contains("source and destination are the same cluster"));

    produce(&b.rpc, &["b0"]);
    once(&a, &b, &[]);
    assert_eq!(values(&b), "b0\na0\na1\n");
    let back = refusal(&b, &a, &[]);
    assert!(back.contains("from offset 0 on there are copies, up to 2") && back.contains("start at 3"), "{back}");
    assert!(refusal(&b, &a, &["--start-at", "2"]).contains("from offset 2 on there are copies"));
    assert_eq!(values(&a), "a0\na1\n", "nothing came back");

    // What is b's own may go to a, and is not taken home again.
    produce(&b.rpc, &["b3"]);
    once(&b, &a, &["--start-at", "3"]);
    assert_eq!(values(&a), "a0\na1\nb3\n");
    let home = refusal(&a, &b, &[]);
    assert!(home.contains("has itself mirrored the destination"), "{home}");

    // The long way round, of which no two clusters know all.
    once(&b, &c, &[]);
    let round = refusal(&c, &a, &[]);
    assert!(round.contains("a loop: the source's record at offset 1 is from the destination"), "{round}");
    assert!(round.contains("at offset 0"), "{round}");
    assert_eq!(values(&a), "a0\na1\nb3\nb0\n", "up to there it was c's to give");
}

#[test]
fn what_was_trimmed_before_it_was_copied_is_named_and_left_out_only_if_that_is_allowed() {
    let (a, b) = (Node::start_with(&[]), Node::start_with(&[]));
    produce(&a.rpc, &["a0", "a1", "a2"]);
    once(&a, &b, &[]);
    produce(&a.rpc, &["a3", "a4", "a5"]);
    must(&["trim", "5", "--addr", &a.rpc], b"");
    assert_eq!(status(&a, &b)["trimmed"], json!([3, 5]));
    let trimmed = refusal(&a, &b, &[]);
    assert!(trimmed.contains("has trimmed offsets 3 to 4 before they were copied"), "{trimmed}");
    assert!(trimmed.contains("--skip-trimmed"), "{trimmed}");
    assert_eq!(values(&b), "a0\na1\na2\n");

    let skipping = run(&mirror(&a, &b, &["--once", "--skip-trimmed"]), b"");
    assert_eq!(skipping.status.code(), Some(0));
    assert!(text(&skipping.stderr).contains("offsets 3 to 4 of the source were trimmed"), "{}", text(&skipping.stderr));
    assert_eq!(values(&b), "a0\na1\na2\na5\n");
    assert_eq!((&status(&a, &b)["trimmed"], &status(&a, &b)["lag"]), (&Value::Null, &json!(0)));
}

#[test]
fn a_record_that_the_destination_does_not_take_ends_it_there_and_nothing_behind_it_is_copied() {
    let a = Node::start_with(&[]);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let small = ["--data-dir", data.to_str().unwrap(), "--bootstrap", "--record-bytes-max", "1KiB"];
    let b = Node::agent(&small, &[]);
    produce(&a.rpc, &["a0", &"x".repeat(2000), "a2"]);
    let refused = refusal(&a, &b, &[]);
    assert!(refused.contains("the source's record at offset 1: "), "{refused}");
    assert!(refused.contains("2000 bytes, the limit is 1024"), "{refused}");
    assert_eq!(values(&b), "a0\n");
}

#[test]
fn a_mirror_that_was_forgotten_finds_out_from_its_copies_where_it_was() {
    let (a, b) = (Node::start_with(&[]), Node::start_with(&[]));
    let line = r#"{"value":"YTA=","key":"aw==","headers":[{"name":"h","value":"dg=="}],"timestamp_ms":-5,"type":3}"#;
    must(&["produce", "--json", "--addr", &a.rpc], format!("{line}\n{line}\n").as_bytes());
    once(&a, &b, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (there, here) = runtime.block_on(async {
        let cluster = Cluster::connect([&b.rpc]).unwrap();
        // As many as are remembered.
        for number in 0..1000 {
            let producer = Some(ProducerSequence { id: format!("p{number}"), sequence: 0, gap_allowed: false });
            let conditions = Conditions { producer, ..Conditions::default() };
            cluster.produce_if(vec![Record::default()], &conditions).await.unwrap();
        }
        (read_all(&Cluster::connect([&a.rpc]).unwrap()).await, read_all(&cluster).await)
    });
    let source_id = status(&a, &b)["source_id"].as_str().unwrap().to_owned();
    assert_eq!(without_place(here)[..2], as_mirrored(&there, &source_id));
    assert_eq!(status(&a, &b)["position"], 2);
    produce(&a.rpc, &["a2"]);
    once(&a, &b, &[]);
    assert!(values(&b).ends_with("\n\na2\n"), "once");

    // And when they are gone, too, it does not guess.
    runtime.block_on(async {
        let cluster = Cluster::connect([&b.rpc]).unwrap();
        for number in 0..1000 {
            let producer = Some(ProducerSequence { id: format!("q{number}"), sequence: 0, gap_allowed: false });
            let conditions = Conditions { producer, ..Conditions::default() };
            cluster.produce_if(vec![Record::default()], &conditions).await.unwrap();
        }
    });
    must(&["trim", "1500", "--addr", &b.rpc], b"");
    let lost = refusal(&a, &b, &[]);
    assert!(lost.contains("how far the copy is cannot be known") && lost.contains("--resume-at"), "{lost}");
    produce(&a.rpc, &["a3"]);
    once(&a, &b, &["--resume-at", "3"]);
    assert!(values(&b).ends_with("\n\na3\n") && !values(&b).contains("a2"));
}
