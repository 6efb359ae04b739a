//! A node as a service: where its settings come from, and how it comes and goes.

use crate::node::{Node, must, run, seedlog, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `--print-config` says, as JSON.
fn printed(args: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = seedlog(&["agent", "--print-config", "--output", "json"]);
    let output = command.args(args).envs(environment.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_node_of_its_own_serves_keeps_its_log_and_needs_no_bootstrap_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let shown = data.to_str().unwrap();
    let mut node = Node::agent(&["--data-dir", shown, "--bootstrap", "--node-name", "alpha"], &[]);
    assert_eq!([&node.ready["node_name"], &node.ready["data_dir"]], ["alpha", shown]);
    must(&["produce", "--addr", &node.rpc], b"kept\n");
    assert_eq!(node.curl("GET", "/", r#"{"offset":0}"#).status, 200);
    let ids = [node.ready["node_id"].clone(), node.ready["cluster_id"].clone()];
    assert_eq!(node.terminate(), Some(0), "{}", node.stderr());

    for again in [&["--data-dir", shown][..], &["--data-dir", shown, "--bootstrap"]] {
        let mut node = Node::agent(again, &[]);
        assert_eq!([node.ready["node_id"].clone(), node.ready["cluster_id"].clone()], ids, "it is the same node");
        assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "kept\n");
        assert_eq!(node.terminate(), Some(0), "{}", node.stderr());
    }
}

#[test]
fn everything_may_come_from_a_file_or_from_the_environment_and_http_may_be_off() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let shown = data.to_str().unwrap();
    let toml = format!("data-dir = {shown:?}\nbootstrap = true\nrpc-port = 0\nrecord-bytes-max = \"1KiB\"\n");
    let config = file(dir.path(), "agent.toml", &toml);
    let mut node = Node::agent(&["--config-file", &config, "--http-addr", "none"], &[]);
    assert_eq!(node.ready["http_addr"], Value::Null);
    must(&["produce", "--addr", &node.rpc], b"short\n");
    let refused = run(&["produce", "--addr", &node.rpc], &[b'x'; 2000]);
    assert!(text(&refused.stderr).contains("1024"), "{}", text(&refused.stderr));
    assert_eq!(node.terminate(), Some(0));

    let mut node = Node::agent(&[], &[("SEEDLOG_DATA_DIR", shown), ("SEEDLOG_NODE_NAME", "8401")]);
    assert_eq!(node.ready["node_name"], "8401");
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "short\n");
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "# a comment\nnode-name: from-file\nrpc-port: 1\nheartbeat-ms: 200\nbootstrap: true\n";
    let yaml = file(dir.path(), "agent.yaml", yaml);
    let shown = printed(
        &["--config-file", &yaml, "--node-name", "from-flag", "--bootstrap=false"],
        &[("SEEDLOG_NODE_NAME", "from-environment"), ("SEEDLOG_RPC_PORT", "2")],
    );
    let from_file = json!({ "kind": "file", "name": yaml });
    let wanted = [
        ("node-name", json!("from-flag"), json!({ "kind": "flag", "name": "--node-name" })),
        ("bootstrap", json!(false), json!({ "kind": "flag", "name": "--bootstrap" })),
        ("rpc-port", json!(2), json!({ "kind": "environment", "name": "SEEDLOG_RPC_PORT" })),
        ("heartbeat-ms", json!(200), from_file),
        ("segment-bytes-max", json!(64 << 20), json!({ "kind": "default" })),
        ("data-dir", Value::Null, Value::Null),
    ];
    for (name, value, source) in wanted {
        assert_eq!([&shown[name]["value"], &shown[name]["source"]], [&value, &source], "{name}");
    }
}

#[test]
fn what_is_printed_is_a_configuration_file_that_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["agent", "--print-config", "--data-dir", "/a b\"c", "--node-name", "n\\1", "--segment-bytes-max", "1MiB"];
    let first = text(&must(&args, b""));
    assert!(first.contains("# flag --data-dir\n") && first.contains("= 8400 "), "{first}");
    let config = file(dir.path(), "printed.toml", &first);
    let again = printed(&["--config-file", &config], &[]);
    assert_eq!([&again["data-dir"]["value"], &again["node-name"]["value"]], ["/a b\"c", "n\\1"]);
    assert_eq!(again["segment-bytes-max"]["value"], 1 << 20);
    let second = text(&must(&["agent", "--print-config", "--config-file", &config], b""));
    let settings = |printed: &str| -> Vec<String> {
        printed.lines().map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(settings(&first), settings(&second));
}

fn refused(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = seedlog(&["agent"]).args(args).envs(environment.iter().copied()).output().unwrap();
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output.stdout));
    output
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_place_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        ("--data-dir", "", "data-dir is \"\" (flag --data-dir), expected a path"),
        ("--bind-addr", "8401", "bind-addr is \"8401\" (flag --bind-addr), expected host:port"),
        ("--rpc-port", "65536", "rpc-port is \"65536\" (flag --rpc-port), expected a port, 0 to 65535"),
        ("--http-addr", "off", "expected host:port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080, or `none`"),
        ("--bootstrap=maybe", "", "bootstrap is \"maybe\" (flag --bootstrap), expected true or false"),
        ("--insecure=2", "", "insecure is \"2\" (flag --insecure), expected true or false"),
        ("--start-join-addrs", "a:1,b", "start-join-addrs is \"a:1,b\" (flag --start-join-addrs), expected a list"),
        ("--record-bytes-max", "1.5MiB", "record-bytes-max is \"1.5MiB\" (flag --record-bytes-max), expected a whole"),
        ("--heartbeat-ms", "150ms", "heartbeat-ms is \"150ms\" (flag --heartbeat-ms), expected a whole number"),
        // Of the right kind, and out of range.
        ("--node-name", "", "node-name is \"\", it must have 1 to 255 characters"),
        ("--heartbeat-ms", "1", "heartbeat-ms is 1, it must be from 10 to 10000 (flag --heartbeat-ms)"),
        ("--record-bytes-max", "5MiB", "record-bytes-max is 5242880, it must be from 1 to 4194240"),
        ("--batch-bytes-max", "1GiB", "batch-bytes-max is 1073741824, it must be from 1024 to 6291456"),
        ("--segment-bytes-max", "1", "segment-bytes-max is 1, it must be from 4096 to"),
        ("--in-flight-bytes-max", "1MiB", "in-flight-bytes-max is 1048576, it must be from"),
        ("--in-flight-bytes-max", "64MiB", "reserve-bytes is 67108864, it must be at least 68419584"),
        ("--reserve-bytes", "1MiB", "what is in flight (in-flight-bytes-max, 33554432)"),
    ];
    for (flag, value, wanted) in flags {
        let data = ["--data-dir", dir.path().to_str().unwrap()];
        let mut args = if flag == "--data-dir" { vec![] } else { data.to_vec() };
        args.push(flag);
        if !flag.contains('=') {
            args.push(value);
        }
        let output = refused(&args, &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
    let output = refused(&[], &[("SEEDLOG_RPC_PORT", "tcp://10.0.0.1:8400")]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("(environment variable SEEDLOG_RPC_PORT), expected a port"), "{stderr}");
    assert!(stderr.contains("enableServiceLinks"), "{stderr}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was touched");
}

#[test]
fn a_file_that_is_no_configuration_is_said_to_be_none_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("unknown.yaml", "data_dir: x\n", "unknown key \"data_dir\" in "),
        ("unknown.yaml", "data_dir: x\n", "did you mean data-dir?"),
        ("strange.toml", "zork = 1\n", "see `seedlog agent --help`"),
        ("port.yaml", "rpc-port: \"8400\"\n", "rpc-port is \"8400\" (file "),
        ("list.yaml", "node-name: [a]\n", "node-name is [\"a\"] (file "),
        ("number.toml", "node-name = 5\n", ", expected text"),
        ("bool.toml", "bootstrap = \"true\"\n", "bootstrap is \"true\" (file "),
        ("hidden.toml", "rpc-port = -1\n", "rpc-port is -1 (file "),
        ("empty.yml", "data-dir:\n", "data-dir is left empty (file "),
        ("twice.yaml", "rpc-port: 1\nrpc-port: 2\n", "line 2 column 1: duplicate mapping key: rpc-port\n"),
        ("broken.yaml", "data-dir: x\n  rpc-port: 5\n", "broken.yaml is no YAML: "),
        ("broken.toml", "data-dir = \n", "broken.toml is no TOML: TOML parse error at line 1"),
        ("list-only.yaml", "- data-dir\n", "it holds a list"),
        ("agent.conf", "", "agent.conf must end in .yaml, .yml or .toml"),
    ];
    for (name, content, wanted) in files {
        let config = file(dir.path(), name, content);
        // A value of a flag's own hides nothing that is wrong in the file.
        let output = refused(&["--rpc-port", "0", "--config-file", &config], &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.contains(wanted) && stderr.contains(&config), "{name}: {stderr}");
    }
    let missing = dir.path().join("missing.yaml");
    let missing = missing.to_str().unwrap();
    for (args, environment, from) in [
        (&["--config-file", missing][..], &[][..], "flag --config-file"),
        (&[], &[("SEEDLOG_CONFIG_FILE", missing)], "environment variable SEEDLOG_CONFIG_FILE"),
    ] {
        let output = refused(args, environment);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("cannot read the configuration file {missing} ({from}): ")), "{stderr}");
    }
}

#[test]
fn what_has_no_effect_yet_is_refused_not_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let tls = ["cert", "key", "ca"].map(|kind| ["server", "peer"].map(|who| format!("--{who}-tls-{kind}-file")));
    let mut flags: Vec<String> = tls.into_iter().flatten().collect();
    flags.extend(["--acl-model-file", "--acl-policy-file"].map(String::from));
    for flag in &flags {
        let output = refused(&["--data-dir", data, "--bootstrap", flag, "some.file"], &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag}: {stderr}");
        assert!(stderr.contains(&format!("{} is set (flag {flag}), but this version has no ", &flag[2..])), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was touched");
}

#[test]
fn beyond_loopback_it_listens_only_when_told_that_this_is_insecure() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let base = ["--data-dir", data.to_str().unwrap(), "--bootstrap", "--rpc-port", "0"];
    for (more, what) in [
        (["--bind-addr", "0.0.0.0:0", "--http-addr", "none"], "gRPC would listen on 0.0.0.0:0"),
        (["--bind-addr", "[::]:0", "--http-addr", "none"], "gRPC would listen on [::]:0"),
        (["--bind-addr", "localhost:0", "--http-addr", "0.0.0.0:0"], "HTTP would listen on 0.0.0.0:0"),
    ] {
        let output = refused(&[&base[..], &more].concat(), &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(what) && stderr.contains("--insecure") && stderr.contains("127.0.0.1"), "{stderr}");
    }
    assert!(!data.exists(), "nothing was touched");
    let open = ["--bind-addr", "0.0.0.0:0", "--http-addr", "0.0.0.0:0", "--insecure"];
    let mut node = Node::agent(&[&base[..3], &open].concat(), &[]);
    assert!(node.rpc.starts_with("0.0.0.0:"), "{}", node.rpc);
    must(&["produce", "--addr", &node.rpc.replace("0.0.0.0", "127.0.0.1")], b"hi\n");
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_misspelt_variable_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let output = seedlog(&["agent", "--print-config"]).env("SEEDLOG_DATADIR", dir.path()).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("SEEDLOG_DATADIR is not known; did you mean SEEDLOG_DATA_DIR?"), "{stderr}");
}
