//! The log as a whole: described, trimmed, bounded, fenced.

use crate::node::{Node, must, run, text};
use serde_json::{Value, json};

fn as_json(node: &Node, args: &[&str]) -> Value {
    serde_json::from_slice(&must(&[args, &["--output", "json", "--addr", &node.rpc]].concat(), b"")).unwrap()
}

fn as_text(node: &Node, args: &[&str]) -> String {
    text(&must(&[args, &["--addr", &node.rpc]].concat(), b""))
}

#[test]
fn a_log_is_described_with_what_it_holds_and_what_holds_for_it() {
    let node = Node::start_with(&[]);
    let empty = as_text(&node, &["describe"]);
    assert!(empty.starts_with("offsets       0..0 (0 records)\n"), "{empty}");
    assert!(empty.contains("retention     everything is kept\nfencing       none\n"), "{empty}");
    must(&["produce", "--addr", &node.rpc, "--producer-id", "p"], b"a\nb\n");
    as_text(&node, &["fence", "7"]);
    let described = as_json(&node, &["describe"]);
    assert_eq!([&described["first_offset"], &described["next_offset"], &described["producers"]], [0, 2, 1]);
    assert_eq!(described["fencing"], json!({ "token": 7, "required": false }));
    assert_eq!(described["retention"], json!({ "bytes_max": null, "age_ms_max": null }));
    assert_eq!(described["record_bytes_max"], 1 << 20);
    assert!(described["last_time_ms"].as_i64().unwrap() > 1_700_000_000_000, "{described}");
    let shown = as_text(&node, &["describe"]);
    for wanted in
        ["0..2 (2 records)", "last append   20", "tokens below 7 are refused\n", "1 remembered", "1MiB", "4MiB"]
    {
        assert!(shown.contains(wanted), "{wanted:?} is not in {shown}");
    }
}

#[test]
fn what_is_trimmed_is_gone_and_offsets_go_on() {
    let node = Node::start_with(&[]);
    must(&["produce", "--addr", &node.rpc], b"0\n1\n2\n3\n");
    assert_eq!(as_text(&node, &["trim", "3"]), "the first offset is 3\n");
    assert_eq!(as_json(&node, &["trim", "1"]), json!({ "first_offset": 3 }));
    assert_eq!(as_text(&node, &["consume"]), "3\n");
    let gone = run(&["consume", "--from", "1", "--addr", &node.rpc], b"");
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("the only valid offset is 3"), "{}", text(&gone.stderr));
    assert_eq!(as_text(&node, &["trim", "99"]), "the first offset is 4\n");
    let next = as_json(&node, &["describe"]);
    assert_eq!([&next["first_offset"], &next["next_offset"]], [4, 4]);
    let wrong = run(&["trim", "-1", "--addr", &node.rpc], b"");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn retention_is_set_shown_and_taken_back() {
    let node = Node::start_with(&[]);
    assert_eq!(as_text(&node, &["retention"]), "retention: everything is kept\n");
    let set = as_text(&node, &["retention", "--max-age", "7d", "--max-bytes", "10GiB"]);
    assert_eq!(set, "retention: at most 7d old, at most 10GiB together\n");
    assert_eq!(as_text(&node, &["retention"]), set);
    let wanted = json!({ "bytes_max": 10u64 << 30, "age_ms_max": 604_800_000 });
    assert_eq!(as_json(&node, &["retention"]), wanted);
    assert_eq!(as_json(&node, &["describe"])["retention"], wanted);
    // Both bounds together are replaced.
    assert_eq!(as_json(&node, &["retention", "--max-age", "36h"])["bytes_max"], Value::Null);
    assert_eq!(as_text(&node, &["retention", "--none"]), "retention: everything is kept\n");
    assert_eq!(as_text(&node, &["retention"]), "retention: everything is kept\n");
    for (args, wanted) in [
        (&["retention", "--max-age", "0s"][..], "a retention of nothing at all"),
        (&["retention", "--max-age", "7"], "such as 7d, 12h or 1h30m"),
        (&["retention", "--max-bytes", "many"], "a whole number of bytes"),
        (&["retention", "--none", "--max-age", "7d"], "cannot be used with"),
    ] {
        let refused = run(args, b"");
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(text(&refused.stderr).contains(wanted), "{args:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn whoever_was_replaced_is_refused_and_the_fence_never_goes_back() {
    let node = Node::start_with(&[]);
    let produce = |more: &[&str]| run(&[&["produce", "--addr", &node.rpc], more].concat(), b"x\n");
    assert!(produce(&["--fencing-token", "6"]).status.success());
    assert_eq!(as_text(&node, &["fence", "7"]), "fencing: tokens below 7 are refused\n");
    let old = produce(&["--fencing-token", "6"]);
    assert_eq!(old.status.code(), Some(1), "{}", text(&old.stderr));
    assert!(text(&old.stderr).contains('6') && text(&old.stderr).contains('7'), "{}", text(&old.stderr));
    assert!(produce(&["--fencing-token", "7"]).status.success() && produce(&[]).status.success());
    let required = as_json(&node, &["fence", "8", "--required"]);
    assert_eq!(required, json!({ "token": 8, "required": true }));
    assert_eq!(produce(&[]).status.code(), Some(1));
    let back = run(&["fence", "7", "--addr", &node.rpc], b"");
    assert_eq!(back.status.code(), Some(1));
    assert!(text(&back.stderr).contains('8'), "{}", text(&back.stderr));
    assert_eq!(as_json(&node, &["describe"])["next_offset"], 3);
}

#[test]
fn a_scrub_says_what_is_damaged_and_that_nobody_else_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let alone = ["--data-dir", data.to_str().unwrap(), "--bootstrap", "--segment-bytes-max", "64KiB"];
    let node = Node::agent(&alone, &[]);
    let lines: String = (0..400).map(|n| format!("{n} {}\n", "x".repeat(1000))).collect();
    must(&["produce", "--addr", &node.rpc], lines.as_bytes());
    let sound = as_json(&node, &["scrub"]);
    assert_eq!([&sound["damaged_segments"], &sound["healed_segments"]], [0, 0], "{sound}");
    assert!(sound["bytes"].as_u64().unwrap() > 400_000, "{sound}");
    assert!(as_text(&node, &["scrub"]).ends_with(" read, all as it was written\n"));

    // The last that is written to is prewritten, and may be the longest.
    let names = std::fs::read_dir(data.join("groups/0")).unwrap().map(|entry| entry.unwrap().path());
    let mut stores: Vec<_> = names.filter(|path| path.extension().is_some_and(|it| it == "store")).collect();
    stores.sort();
    stores.pop();
    let length = |store: &std::path::PathBuf| store.metadata().unwrap().len();
    let store = stores.iter().max_by_key(|store| length(store)).unwrap();
    let file = std::fs::File::options().write(true).open(store).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"????????", length(store) / 2).unwrap();
    let scrubbed = run(&["scrub", "--addr", &node.rpc], b"");
    assert_eq!(scrubbed.status.code(), Some(1));
    let said = text(&scrubbed.stdout);
    assert!(said.contains("segments that were damaged: 1, of which whole again: 0"), "{said}");
    assert!(said.contains(&format!("{} is damaged, and lacks entries ", store.display())), "{said}");
    assert!(said.contains("there is no other node to have them from"), "{said}");
    // The rest goes on.
    must(&["produce", "--addr", &node.rpc], b"more\n");
    let last = as_json(&node, &["describe"])["next_offset"].as_u64().unwrap() - 1;
    assert_eq!(as_text(&node, &["consume", "--from", &last.to_string()]), "more\n");
}
