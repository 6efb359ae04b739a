//! One node's answers about the cluster, on every road in.

use crate::node::{Node, must, run, text};
use serde_json::{Value, json};

fn json_of(node: &Node, args: &[&str]) -> Value {
    serde_json::from_slice(&must(&[args, &["--output", "json", "--addr", &node.rpc]].concat(), b"")).unwrap()
}

#[test]
fn the_servers_are_listed_with_who_leads() {
    let node = Node::start_with(&[]);
    let listed = json_of(&node, &["servers"]);
    let [server] = &listed.as_array().unwrap()[..] else { panic!("{listed}") };
    let id = server["id"].as_str().unwrap();
    assert_eq!([&server["is_leader"], &server["role"], &server["lag"]], [&json!(true), &json!("leader"), &json!(0)]);
    let shown = text(&must(&["servers", "--addr", &node.rpc], b""));
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "NAME", "ROLE", "ADDRESS", "LAG"]);
    assert_eq!((rows[1][0], rows[1][2], rows[1][3]), (id, "leader", node.rpc.as_str()), "{shown}");
    assert!(text(&must(&["status", "--addr", &node.rpc], b"")).lines().next().unwrap().ends_with("  LAG"));
}

#[test]
fn the_only_server_stays_a_member_and_leads() {
    let node = Node::start_with(&[]);
    let id = json_of(&node, &["servers"])[0]["id"].as_str().unwrap().to_owned();
    let nobody = "00000000000000ff";
    for (args, wanted) in [
        (&["remove", &id][..], "is the only voter"),
        (&["transfer-leader"], "is the only voter"),
        (&["remove", nobody], "there is no server 00000000000000ff in this cluster"),
        (&["transfer-leader", nobody], "there is no server 00000000000000ff in this cluster"),
        (&["remove", "node-7"], "no server has the id or the name \"node-7\"; there are "),
    ] {
        let refused = run(&[args, &["--addr", &node.rpc]].concat(), b"");
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(text(&refused.stderr).contains(wanted), "{args:?}: {}", text(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
    assert_eq!(run(&["remove", "--addr", &node.rpc], b"").status.code(), Some(2));
    // It leads already: that is what was asked for.
    assert_eq!(json_of(&node, &["transfer-leader", &id])["id"], json!(id));
    must(&["produce", "--addr", &node.rpc], b"a\n");
}

#[test]
fn over_http_the_answers_are_the_same_with_their_facts() {
    let node = Node::start_with(&[]);
    let id = json_of(&node, &["servers"])[0]["id"].as_str().unwrap().to_owned();
    let nobody = "0000000000000011";
    for (path, body, status, reason) in [
        ("/v1/remove-server", json!({ "id": id }), 412, "LAST_VOTER"),
        ("/v1/remove-server", json!({ "id": nobody }), 404, "UNKNOWN_SERVER"),
        ("/v1/remove-server", json!({ "id": "node-1" }), 400, "BAD_SERVER_ID"),
        ("/v1/remove-server", json!({}), 400, "BAD_JSON"),
        ("/v1/transfer-leader", json!({}), 412, "LAST_VOTER"),
        ("/v1/transfer-leader", json!({ "id": "" }), 400, "BAD_SERVER_ID"),
        ("/v1/transfer-leader", json!({ "id": nobody }), 404, "UNKNOWN_SERVER"),
    ] {
        let answer = node.curl("POST", path, &body.to_string());
        let error = answer.error();
        assert_eq!((answer.status, error["reason"].as_str()), (status, Some(reason)), "{path} {body}: {error}");
        if reason != "BAD_JSON" {
            let about = if body == json!({}) { json!(id) } else { body["id"].clone() };
            assert_eq!(error["id"], about, "{path} {body}: {error}");
        }
    }
    let answer = node.curl("POST", "/v1/transfer-leader", &json!({ "id": id }).to_string());
    assert_eq!((answer.status, answer.body), (200, format!("{}\n", json!({ "id": id }))));
}
