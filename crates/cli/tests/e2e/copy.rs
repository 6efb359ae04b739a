//! The client crate's example `copy`, run again and again after it was ended by force.

#[path = "../../../client/examples/copy.rs"]
#[allow(dead_code)]
mod example;

use crate::node::{Node, must, run};
use seedlog_client::Cluster;
use std::fmt::Write as _;
use std::time::Duration;

const LINES: u64 = 20_000;

/// Ends it with all that it has on its way once `to` has so many records; whether it was done before.
fn copied_until(from: &Node, to: &Node, enough: u64) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (from, to_addr) = (from.rpc.clone(), to.rpc.clone());
    let copying = runtime.spawn(async move {
        let (from, to) = (Cluster::connect([from]).unwrap(), Cluster::connect([to_addr]).unwrap());
        example::copy(&from, &to, "copy").await
    });
    let last = (enough - 1).to_string();
    while !copying.is_finished()
        && !run(&["consume", "--from", &last, "-n", "1", "--addr", &to.rpc], b"").status.success()
    {}
    let done = copying.is_finished();
    if done {
        assert_eq!(runtime.block_on(copying).unwrap(), Ok(LINES));
    }
    runtime.shutdown_timeout(Duration::ZERO);
    done
}

#[test]
fn a_copy_that_is_ended_again_and_again_has_each_record_once_in_the_end_and_one_more_run_adds_nothing() {
    let (from, to) = (Node::start_with(&[]), Node::start_with(&[]));
    let mut lines = String::new();
    (0..LINES).for_each(|number| writeln!(lines, "line {number}").unwrap());
    must(&["produce", "--key", "k", "--header", "a=b", "--addr", &from.rpc], lines.as_bytes());
    let ended = [1, 2_000, 5_000, 9_000].map(|enough| copied_until(&from, &to, enough));
    assert!(ended.contains(&false), "it was done each time");
    for _ in 0..2 {
        assert!(copied_until(&from, &to, u64::MAX));
        assert!(must(&["consume", "--addr", &to.rpc], b"") == lines.as_bytes());
    }
    let one = |node: &Node| must(&["consume", "--json", "--from", "7", "-n", "1", "--addr", &node.rpc], b"");
    let [one, other] = [one(&from), one(&to)].map(|line| serde_json::from_slice::<serde_json::Value>(&line).unwrap());
    for field in ["value", "key", "headers"] {
        assert_eq!(one[field], other[field], "{field}");
    }
}
