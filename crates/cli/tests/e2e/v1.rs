//! `/v1/`: the calls of log.v1 as curl makes them.

use crate::node::{Node, must, text};
use serde_json::{Value, json};

fn get(node: &Node, path: &str) -> (u16, Value) {
    let answer = node.curl("GET", path, "");
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {answer:?}")))
}

fn send(node: &Node, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = node.curl(method, path, &body.to_string());
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {answer:?}")))
}

#[test]
fn a_record_with_everything_comes_back_as_it_went_in_also_over_grpc() {
    let node = Node::start_with(&[]);
    let record = json!({"value": "aGk=", "key": "aw==", "headers": [{"name": "n", "value": "/w=="}], "timestamp_ms": -5,
        "type": 7});
    let batch = json!({"records": [record, {"value_text": "zwei ü"}]});
    assert_eq!(send(&node, "POST", "/v1/records", &batch), (200, json!({"offset": 0, "count": 2, "repeated": false})));

    let (status, page) = get(&node, "/v1/records?offset=0");
    assert_eq!((status, &page["next_offset"]), (200, &json!(2)));
    let first = &page["records"][0];
    for (name, value) in record.as_object().unwrap() {
        assert_eq!(&first[name], value, "{name}");
    }
    assert!(first["append_time_ms"].as_i64() <= page["records"][1]["append_time_ms"].as_i64());
    assert_eq!(get(&node, "/v1/records?offset=1&values=text").1["records"][0]["value_text"], "zwei ü");
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "hi\nzwei ü\n");
    // And what was consumed can be sent back.
    assert_eq!(send(&node, "POST", "/v1/records", &json!({"record": first})).1["offset"], 2);
}

#[test]
fn where_to_start_and_how_much_is_asked_for_in_the_query() {
    let node = Node::start_with(&[]);
    let values: Vec<Value> = (0..150).map(|number| json!({"value_text": number.to_string()})).collect();
    assert_eq!(send(&node, "POST", "/v1/records", &json!({"records": values})).0, 200);
    let offsets = |query: &str| {
        let (status, page) = get(&node, &format!("/v1/records{query}"));
        assert_eq!(status, 200, "{page}");
        let records = page["records"].as_array().unwrap();
        let offset = |record: &Value| record["offset"].as_u64().unwrap();
        assert_eq!(page["next_offset"], offset(records.last().unwrap()) + 1);
        (offset(&records[0]), records.len())
    };
    assert_eq!(offsets(""), (0, 100), "without a word about it");
    assert_eq!(offsets("?start=earliest&max_records=3"), (0, 3));
    assert_eq!(offsets("?offset=140"), (140, 10));
    assert_eq!(offsets("?offset=140&max_bytes=1"), (140, 1), "one record always");
    assert_eq!(offsets("?start=time&start_time_ms=0&max_records=1"), (0, 1));
    let (status, nothing) = get(&node, "/v1/records?start=latest");
    assert_eq!((status, &nothing["error"]["asked"]), (404, &json!(150)));
}

#[test]
fn a_miss_waits_for_the_record_if_it_is_asked_to() {
    let node = Node::start_with(&[]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&node, "/v1/records?offset=0&wait_ms=60000&values=text"));
        assert_eq!(send(&node, "POST", "/v1/records", &json!({"record": {"value_text": "at last"}})).0, 200);
        let (status, page) = waiting.join().unwrap();
        assert_eq!((status, &page["records"][0]["value_text"]), (200, &json!("at last")));
    });
    let (status, late) = get(&node, "/v1/records?offset=1&wait_ms=1");
    assert_eq!((status, &late["error"]["reason"]), (404, &json!("OFFSET_OUT_OF_RANGE")));
}

#[test]
fn a_produce_sent_again_happens_once_and_its_conditions_are_held() {
    let node = Node::start_with(&[]);
    let produce = |body: Value| send(&node, "POST", "/v1/records", &body);
    let record = json!({"value": ""});
    let by_p = |sequence: u64| json!({"record": record, "producer_id": "p", "sequence": sequence});
    assert_eq!(produce(by_p(5)).1, json!({"offset": 0, "count": 1, "repeated": false}));
    assert_eq!(produce(by_p(5)).1, json!({"offset": 0, "count": 1, "repeated": true}));

    let refused = |body: Value| {
        let (status, answer) = produce(body);
        let error = answer["error"].as_object().unwrap().clone();
        (status, error["code"].as_str().unwrap().to_owned(), Value::Object(error))
    };
    let (status, code, gap) = refused(by_p(9));
    assert_eq!((status, code.as_str()), (412, "FAILED_PRECONDITION"));
    assert_eq!([&gap["sequence"], &gap["expected"]], [9, 6]);
    let (status, _, old) = refused(by_p(4));
    assert_eq!((status, &old["reason"], &old["expected"]), (412, &json!("SEQUENCE_TOO_OLD"), &json!(6)));
    let mut allowed = by_p(9);
    allowed["allow_sequence_gap"] = true.into();
    assert_eq!(produce(allowed).1["offset"], 1);

    let (status, code, other) = refused(json!({"record": record, "expected_offset": 0}));
    assert_eq!((status, code.as_str(), &other["next"]), (409, "ABORTED", &json!(2)));
    assert_eq!(produce(json!({"record": record, "expected_offset": 2})).1["offset"], 2);

    let fence = |token: u64| send(&node, "PUT", "/v1/fence", &json!({"token": token, "required": true}));
    assert_eq!(fence(5), (200, json!({"token": 5, "required": true})));
    assert_eq!(fence(4).0, 412);
    let (status, _, fenced) = refused(json!({"record": record, "fencing_token": 4}));
    assert_eq!((status, &fenced["given"], &fenced["current"]), (412, &json!(4), &json!(5)));
    let (status, _, none) = refused(json!({"record": record}));
    assert_eq!((status, &none["current"]), (412, &json!(5)));
    assert_eq!(node.curl("POST", "/", r#"{"record":{"value":""}}"#).status, 412);
    assert_eq!(produce(json!({"record": record, "fencing_token": 5})).1["offset"], 3);
}

#[test]
fn what_is_trimmed_is_gone_and_says_so() {
    let node = Node::start_with(&[]);
    let values = vec![json!({"value": ""}); 5];
    assert_eq!(send(&node, "POST", "/v1/records", &json!({"records": values})).0, 200);
    assert_eq!(send(&node, "POST", "/v1/trim", &json!({"first_offset": 3})), (200, json!({"first_offset": 3})));
    let (status, gone) = get(&node, "/v1/records?offset=2");
    let error = &gone["error"];
    assert_eq!((status, [&error["asked"], &error["first"], &error["next"]]), (404, [&json!(2), &json!(3), &json!(5)]));
    assert_eq!(get(&node, "/v1/tail?offset=2"), (status, gone));
    assert_eq!(get(&node, "/v1/records").1["records"][0]["offset"], 3);

    let bounds = json!({"bytes_max": 1 << 30, "age_ms_max": 0});
    assert_eq!(send(&node, "PUT", "/v1/retention", &json!({"bytes_max": 1 << 30})), (200, bounds.clone()));
    assert_eq!(get(&node, "/v1/retention"), (200, bounds.clone()));
    let (status, described) = get(&node, "/v1/describe");
    assert_eq!((status, &described["retention"], &described["next_offset"]), (200, &bounds, &json!(5)));
}

#[test]
fn servers_are_what_the_command_says_too() {
    let node = Node::start_with(&[]);
    let (status, servers) = get(&node, "/v1/servers");
    assert_eq!((status, &servers["servers"][0]["role"]), (200, &json!("leader")));
    let printed = must(&["status", "--output", "json", "--addr", &node.rpc], b"");
    assert_eq!(serde_json::from_slice::<Value>(&printed).unwrap()["servers"], servers["servers"]);
    assert_eq!(servers["strangers"], json!([]));
}

#[test]
fn a_node_that_serves_is_live_and_ready() {
    let node = Node::start_with(&[]);
    assert_eq!(get(&node, "/livez"), (200, json!({"status": "live"})));
    assert_eq!(get(&node, "/readyz"), (200, json!({"status": "ready"})));
}

#[test]
fn bad_input_is_answered_with_what_is_wrong_and_where() {
    let node = Node::start_with(&[]);
    let large = "A".repeat((1 << 20) + 1);
    let many = vec![json!({"value_text": "x".repeat(1 << 20)}); 5];
    let record = json!({"value": ""});
    let posts = [
        (json!({}), 400, "nothing to produce: neither record nor records is set"),
        (json!({"record": record, "records": [record]}), 400, "both record and records are set"),
        (json!({"records": [record, {"value": "!"}]}), 400, "records[1].value is no base64"),
        (json!({"record": {"value": "", "colour": 1}}), 400, "unknown field `colour`"),
        (json!({"record": record, "sequence": 1}), 400, "sequence is set without producer_id"),
        (json!({"record": record, "producer_id": "p".repeat(129)}), 400, "129 bytes, the limit is 128"),
        (json!({"record": {"value_text": large}}), 413, "record 0 has 1048577 bytes, the limit is 1048576"),
        (json!({"records": many}), 413, "the limit is 4194304"),
        (json!([record]), 400, "invalid type: sequence, expected an object at line 1, column 0"),
    ];
    for (body, status, wanted) in posts {
        let answer = node.curl("POST", "/v1/records", &body.to_string());
        let error = answer.error();
        assert_eq!((answer.status, error["code"].as_str()), (status, Some("INVALID_ARGUMENT")), "{wanted}: {error}");
        assert!(error["message"].as_str().unwrap().contains(wanted), "{wanted}: {error}");
        assert!(error["reason"].is_string(), "{wanted}: {error}");
    }
    // Refused by what it announces; the body is never read.
    let announced =
        node.http(b"PUT /v1/fence HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nConnection: close\r\n\r\n");
    let error = announced.error();
    assert_eq!((announced.status, [&error["bytes"], &error["max"]]), (413, [&json!(9_000_000), &json!(8 << 20)]));
    let gets = [
        ("/v1/records?ofset=1", "there is no query parameter \"ofset\" here, there is offset, start"),
        ("/v1/records?offset=-1", "offset is \"-1\", it must be a whole number from 0 to"),
        ("/v1/records?max_records=0", "max_records is \"0\", it must be a whole number from 1 to 4294967295"),
        ("/v1/records?wait_ms=soon", "wait_ms is \"soon\""),
        ("/v1/records?offset=1&offset=2", "offset is given more than once"),
        ("/v1/records?values=hex", "values is \"hex\", it must be base64 or text"),
        ("/v1/tail?start=time", "start=time is given without start_time_ms"),
        ("/v1/tail?max_records=1", "there is no query parameter \"max_records\" here"),
        ("/livez?verbose", "there is no query parameter \"verbose\" here, it takes none"),
    ];
    for (path, wanted) in gets {
        let answer = node.curl("GET", path, "");
        let error = answer.error();
        assert_eq!((answer.status, error["code"].as_str()), (400, Some("INVALID_ARGUMENT")), "{path}: {error}");
        assert!(error["message"].as_str().unwrap().contains(wanted), "{path}: {error}");
    }
    // As chapter 1 asks, at a place that is not chapter 1's.
    let asked = node.curl("GET", "/v1/records", r#"{"offset":3}"#);
    assert_eq!((asked.status, asked.error()["reason"].as_str()), (400, Some("BODY_UNASKED")));
    assert!(node.curl("GET", "/v2/records", "").error()["message"].as_str().unwrap().contains("/v1/records"));
    for (method, path, allow) in [
        ("DELETE", "/v1/records", "allow: get, post"),
        ("POST", "/v1/fence", "allow: put"),
        ("HEAD", "/livez", "allow: get"),
    ] {
        let answer = node.curl(method, path, "");
        assert!(answer.status == 405 && answer.head.contains(allow), "{answer:?}");
    }
    assert_eq!(get(&node, "/v1/describe").1["next_offset"], 0, "nothing of it went in");
}
