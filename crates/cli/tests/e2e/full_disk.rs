//! A disk that is full, and really is: a small file system of its own. Mounting needs root, so `ci/e2e` runs this.

use crate::node::{Node, must, run, text};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

/// Room for two segments, beside the 64 MiB that a node keeps back and what others have put there.
const DISK_BYTES: u64 = 240 << 20;
const OTHERS_BYTES: usize = 40 << 20;
const BATCH: usize = 24;

pub struct Mount {
    pub dir: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Mount {
    pub fn new() -> Mount {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("disk");
        fs::create_dir(&dir).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).status().unwrap();
        assert!(mounted.success(), "mount: {mounted}");
        Mount { dir, _scratch: scratch }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever is still on it, goes first.
        let _ = Command::new("umount").arg("--lazy").arg(&self.dir).status();
    }
}

fn post(node: &Node, path: &str, body: &Value) -> (u16, Value) {
    let answer = node.curl("POST", path, &body.to_string());
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}")))
}

/// Records of about 64 KiB that end with their offset, until there is no room for more, and others take what is left
/// then: the node may not have seen that yet, and take one more. The log's end.
fn fill(node: &Node, others: &mut File, first: usize) -> usize {
    let (mut next, mut count) = (first, BATCH);
    loop {
        let values = (next..next + count).map(|offset| json!({"value_text": format!("{offset:65535}")}));
        let (status, answer) = post(node, "/v1/records", &json!({"records": values.collect::<Vec<_>>()}));
        if status != 200 {
            let error = &answer["error"];
            assert_eq!((status, error["code"].as_str()), (507, Some("RESOURCE_EXHAUSTED")), "{error}");
            let number = |name: &str| error[name].as_u64().unwrap();
            assert!(number("wanted_bytes") >= (count * 65_535) as u64, "{error}");
            let left = number("free_bytes").saturating_sub(number("reserve_bytes"));
            assert!(left <= number("wanted_bytes"), "{error}");
            others.write_all(&vec![0; left as usize]).unwrap();
            if left == 0 {
                return next;
            }
            count = 1;
            continue;
        }
        assert_eq!(answer["offset"], next, "{answer}");
        next += count;
        assert!(((next - first) as u64) << 16 < DISK_BYTES, "more went in than there is room");
    }
}

/// Reads go on.
fn serves(node: &Node, first: usize, next: usize) {
    assert_eq!(node.curl("GET", "/livez", "").status, 200);
    assert_eq!(node.curl("GET", "/readyz", "").status, 200);
    assert_eq!(node.curl("GET", "/", &format!("{{\"offset\":{first}}}")).status, 200);
    let last = node.curl("GET", &format!("/v1/records?offset={}&values=text", next - 1), "");
    let last: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!(last["next_offset"], next);
    assert!(last["records"][0]["value_text"].as_str().unwrap().ends_with(&format!(" {}", next - 1)));
}

/// Nothing that was acknowledged is lost, and nothing else is there.
fn has_all(node: &Node, first: usize, next: usize) {
    let output = must(&["consume", "--addr", &node.rpc], b"");
    let mut wanted = first;
    for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert_eq!(text(line).trim().parse(), Ok(wanted));
        wanted += 1;
    }
    assert_eq!(wanted, next);
}

fn refuses(node: &Node) {
    let (status, answer) = post(node, "/", &json!({"record": {"value": ""}}));
    assert_eq!((status, &answer["error"]["reason"]), (507, &json!("DISK_FULL")), "{answer}");
    let output = run(&["produce", "--output", "json", "--addr", &node.rpc], b"a\n");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no room for ") && stderr.contains(" 67108864 are kept back"), "{stderr}");
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&tally["acked"], &tally["not_written"], &tally["unknown"]], [0, 1, 0], "{tally}");
}

#[test]
#[ignore = "mounts a small file system: ci/e2e runs it, as root"]
fn a_full_disk_takes_no_records_and_loses_none_until_there_is_room_again() {
    let mount = Mount::new();
    let data = mount.dir.join("data");
    let mut others = File::create(mount.dir.join("others")).unwrap();
    others.write_all(&vec![0; OTHERS_BYTES]).unwrap();
    let mut node = Node::start(&data);
    let full = fill(&node, &mut others, 0);
    assert!(full > 0);
    refuses(&node);
    serves(&node, 0, full);

    // Others make room: writing goes on by itself.
    others.set_len(0).unwrap();
    others.rewind().unwrap();
    let fuller = fill(&node, &mut others, full);
    assert!(fuller > full, "there is more room, and nothing went in");
    refuses(&node);

    // A start on a full disk, after a stop and after a kill.
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    let node = Node::start(&data);
    refuses(&node);
    serves(&node, 0, fuller);
    node.kill();
    let node = Node::start(&data);
    refuses(&node);
    serves(&node, 0, fuller);
    has_all(&node, 0, fuller);

    // The log itself makes room: a trim is taken on a full disk too.
    let kept = fuller - BATCH;
    assert_eq!(post(&node, "/v1/trim", &json!({"first_offset": kept})), (200, json!({"first_offset": kept})));
    let end = fill(&node, &mut others, fuller);
    assert!(end > fuller, "a segment was freed, and nothing went in");
    refuses(&node);
    serves(&node, kept, end);
    has_all(&node, kept, end);
}
