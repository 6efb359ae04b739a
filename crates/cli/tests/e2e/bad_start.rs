//! Starts that cannot be: each says what, where and what to do, and leaves the directory as it was.

use crate::node::{Node, must, run, text};
use seedlog_log::small_file;
use seedlog_runtime::disk::RealDisk;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Every file below `root`, byte for byte.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The data directory of a node that held one record and was stopped.
fn stopped(root: &Path, name: &str) -> PathBuf {
    let data = root.join(name);
    let mut node = Node::agent(&["--data-dir", data.to_str().unwrap(), "--bootstrap"], &[]);
    must(&["produce", "--addr", &node.rpc], b"a record\n");
    assert_eq!(node.terminate(), Some(0));
    data
}

fn start(data: &Path, more: &[&str]) -> Output {
    let ports: &[&str] = if more.is_empty() {
        &["--bind-addr", "127.0.0.1:0", "--rpc-port", "0", "--http-addr", "127.0.0.1:0"]
    } else {
        more
    };
    run(&[&["agent", "--bootstrap", "--data-dir", data.to_str().unwrap()], ports].concat(), b"")
}

/// Refused with `wanted`, and nothing was changed.
fn refused(data: &Path, more: &[&str], wanted: &[&str]) {
    let before = files(data);
    let output = start(data, more);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in wanted {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
    assert_eq!(files(data), before, "nothing may change");
}

#[test]
fn an_empty_directory_is_not_begun_without_bootstrap() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for exists in [false, true] {
        let output = run(&["agent", "--data-dir", data.to_str().unwrap(), "--rpc-port", "0"], b"");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("holds no log, and there is no cluster to join"), "{stderr}");
        assert!(stderr.contains(data.to_str().unwrap()) && stderr.contains("--bootstrap"), "{stderr}");
        assert_eq!(data.exists(), exists, "nothing is made");
        let _ = std::fs::create_dir(&data);
        assert_eq!(files(&data), BTreeMap::new());
    }
}

#[test]
fn a_directory_of_a_newer_format_is_left_to_a_newer_seedlog() {
    let dir = tempfile::tempdir().unwrap();
    let data = stopped(dir.path(), "data");
    let (disk, identity, magic) = (RealDisk::new(), data.join("identity"), *b"SLIDENT1");
    let mut body = small_file::read(&disk, &identity, magic).unwrap().unwrap();
    // It begins with the format.
    body[..4].copy_from_slice(&7u32.to_le_bytes());
    small_file::replace(&disk, &identity, magic, &body).unwrap();
    refused(
        &data,
        &[],
        &["has data format 7, this program reads up to ", "use a newer seedlog", data.to_str().unwrap()],
    );
}

#[test]
fn files_of_another_node_are_not_taken_for_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    let cases = ["identity", "groups/0/vote", "groups/0/00000000000000000000.store"];
    for (number, file) in cases.into_iter().enumerate() {
        let data = stopped(dir.path(), &format!("own-{number}"));
        let other = stopped(dir.path(), &format!("other-{number}"));
        std::fs::copy(other.join(file), data.join(file)).unwrap();
        // What a changed identity disagrees with first is the vote.
        let named = data.join(if file == "identity" { "groups/0/vote" } else { file });
        let wanted = format!("{} belongs to node ", named.display());
        refused(&data, &[], &[&wanted, ", and this directory to node ", "put this node's own files back"]);
    }
    let data = dir.path().join("own-2");
    let verify = run(&["verify", data.to_str().unwrap()], b"");
    assert_eq!(verify.status.code(), Some(1), "{}", text(&verify.stdout));
    assert!(text(&verify.stdout).contains("it is another node's"), "{}", text(&verify.stdout));
    // All of it together is that node, wherever it is.
    let (whole, moved) = (dir.path().join("other-0"), dir.path().join("moved"));
    std::fs::rename(whole, &moved).unwrap();
    let mut node = Node::agent(&["--data-dir", moved.to_str().unwrap()], &[]);
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "a record\n");
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_directory_in_use_is_refused_while_its_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut node = Node::agent(&["--data-dir", data.to_str().unwrap(), "--bootstrap"], &[]);
    must(&["produce", "--addr", &node.rpc], b"a record\n");
    let output = start(&data, &[]);
    assert_eq!(output.status.code(), Some(1));
    let wanted = format!("seedlog: data directory: {} is in use by another process", data.display());
    assert!(text(&output.stderr).contains(&wanted), "{}", text(&output.stderr));
    // On the same ports too: the directory is what is told.
    let output = start(&data, &["--rpc-port", node.rpc.rsplit(':').next().unwrap(), "--http-addr", &node.http]);
    assert!(text(&output.stderr).contains(&wanted), "{}", text(&output.stderr));
    must(&["produce", "--addr", &node.rpc], b"still here\n");
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_place_where_no_directory_can_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"not a directory").unwrap();
    for data in [file.clone(), file.join("data")] {
        let output = start(&data, &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("data directory: ") && stderr.contains(data.to_str().unwrap()), "{stderr}");
        assert!(stderr.contains("Not a directory") || stderr.contains("File exists"), "{stderr}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
    // /proc takes no directories from anyone, root included.
    let output = start(Path::new("/proc/seedlog"), &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("create the data directory /proc/seedlog"), "{stderr}");
}

#[test]
fn a_port_in_use_is_named_with_the_settings_that_chose_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (port, shown) = (addr.port().to_string(), addr.to_string());
    let rpc = ["--rpc-port", &port, "--http-addr", "127.0.0.1:0"];
    let http = ["--rpc-port", "0", "--http-addr", &shown];
    let cases = [
        (rpc, format!("cannot listen on {shown} for gRPC"), "(bind-addr: default; rpc-port: flag --rpc-port)"),
        (http, format!("cannot listen on {shown} for HTTP"), "(http-addr: flag --http-addr)"),
    ];
    let data = stopped(dir.path(), "data");
    for (ports, wanted, from) in cases {
        refused(&data, &ports, &[&wanted, "choose another port", from]);
        // Where there was nothing, nothing is made.
        let fresh = dir.path().join("fresh");
        assert_eq!(start(&fresh, &ports).status.code(), Some(1));
        assert!(!fresh.exists());
    }
}

#[test]
fn an_address_of_another_machine_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let data = stopped(dir.path(), "data");
    // Of a range that is nobody's (RFC 5737).
    let elsewhere = ["--bind-addr", "192.0.2.1:8401", "--insecure", "--http-addr", "none"];
    refused(&data, &elsewhere, &["192.0.2.1:8400", "this machine has no such address", "bind-addr: flag --bind-addr"]);
    let output = start(&data, &["--bind-addr", "no-such-host.invalid:8401", "--http-addr", "none"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("bind-addr no-such-host.invalid:8400 (flag --bind-addr): "), "{stderr}");
}
