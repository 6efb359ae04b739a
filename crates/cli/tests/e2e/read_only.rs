//! A data directory on a file system that is mounted read-only. Mounting needs root, so `ci/e2e` runs this.

use crate::full_disk::Mount;
use crate::node::{Node, must, run, text};
use std::process::Command;

#[test]
#[ignore = "mounts a small file system: ci/e2e runs it, as root"]
fn a_read_only_directory_is_refused_by_a_node_and_checked_by_verify() {
    let mount = Mount::new();
    let data = mount.dir.join("data");
    let (shown, fresh) = (data.to_str().unwrap(), mount.dir.join("fresh"));
    let remount = |how: &str| {
        let remounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&mount.dir).status();
        assert!(remounted.unwrap().success());
    };
    let mut node = Node::agent(&["--data-dir", shown, "--bootstrap"], &[]);
    must(&["produce", "--addr", &node.rpc], b"a record\n");
    assert_eq!(node.terminate(), Some(0));

    remount("ro");
    for (dir, what) in [(shown, "lock the data directory"), (fresh.to_str().unwrap(), "create the data directory")] {
        let ports = ["--bind-addr", "127.0.0.1:0", "--rpc-port", "0", "--http-addr", "127.0.0.1:0"];
        let output = run(&[&["agent", "--bootstrap", "--data-dir", dir], &ports[..]].concat(), b"");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("data directory: {what} {dir}: ")), "{stderr}");
        assert!(stderr.contains("Read-only file system") && stderr.contains("mount it for writing, or "), "{stderr}");
    }
    assert!(text(&must(&["verify", shown], b"")).contains("record offsets 0..1"));

    remount("rw");
    let mut node = Node::agent(&["--data-dir", shown], &[]);
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "a record\n");
    assert_eq!(node.terminate(), Some(0));
}
