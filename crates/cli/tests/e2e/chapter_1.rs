//! Chapter 1 of the book, verbatim, and what it answers to those who get it wrong.

use crate::node::Node;

#[test]
fn chapter_1_works_as_it_is_printed() {
    let node = Node::start_with(&[]);
    for (offset, value) in ["TGV0J3MgR28gIzEK", "TGV0J3MgR28gIzIK", "TGV0J3MgR28gIzMK"].into_iter().enumerate() {
        let answer = node.curl("POST", "/", &format!(r#"{{"record":{{"value":"{value}"}}}}"#));
        assert_eq!((answer.status, answer.body), (200, format!("{{\"offset\":{offset}}}\n")));
    }
    for (offset, value) in ["TGV0J3MgR28gIzEK", "TGV0J3MgR28gIzIK", "TGV0J3MgR28gIzMK"].into_iter().enumerate() {
        let answer = node.curl("GET", "/", &format!(r#"{{"offset":{offset}}}"#));
        let wanted = format!("{{\"record\":{{\"value\":\"{value}\",\"offset\":{offset}}}}}\n");
        assert_eq!((answer.status, answer.body), (200, wanted));
    }
}

#[test]
fn an_offset_past_the_end_is_404_and_names_the_valid_range() {
    let node = Node::start_with(&[]);
    let empty = node.curl("GET", "/", r#"{"offset":0}"#);
    assert_eq!((empty.status, empty.error()["code"].as_str()), (404, Some("OUT_OF_RANGE")));
    for _ in 0..3 {
        node.curl("POST", "/", r#"{"record":{"value":""}}"#);
    }
    let answer = node.curl("GET", "/", r#"{"offset":3}"#);
    assert_eq!(answer.status, 404);
    let error = answer.error();
    assert_eq!(error["message"], "offset 3 is out of range: valid offsets are 0 to 2");
    assert_eq!([&error["asked"], &error["first"], &error["next"]], [3, 0, 3]);
}

#[test]
fn garbage_is_400_and_says_what_is_wrong_and_where() {
    let node = Node::start_with(&[]);
    let cases = [
        ("POST", "", "the body is empty"),
        ("POST", "\u{1}\u{2}", "at line 1, column 1"),
        ("POST", "{\"record\":\n {\"valeu\":\"\"}}", "unknown field `valeu`"),
        ("POST", r#"{"record":{}}"#, "missing field `value`"),
        ("POST", r#"{"record":{"value":"aG!="}}"#, "'!' at position 2"),
        ("GET", "", "the body is empty"),
        ("GET", r#"{"offset":-1}"#, "integer `-1`"),
        ("GET", r#"{"offset":18446744073709551616}"#, "at line 1"),
        ("GET", "[[[[[[[[", "at line 1"),
        ("GET", "[0]", "invalid type: sequence, expected an object"),
        ("POST", r#"[["aGk="]]"#, "invalid type: sequence, expected an object"),
        ("POST", r#"{"record":["aGk="]}"#, "invalid type: sequence, expected an object"),
        ("POST", r#"{"record":null}"#, "invalid type: null, expected an object"),
    ];
    for (method, body, wanted) in cases {
        let answer = node.curl(method, "/", body);
        let error = answer.error();
        assert_eq!((answer.status, error["code"].as_str()), (400, Some("INVALID_ARGUMENT")), "{method} {body:?}");
        assert!(error["message"].as_str().unwrap().contains(wanted), "{method} {body:?}: {error}");
    }
    let place = node.curl("POST", "/", "{\"record\":\n {\"valeu\":\"\"}}").error();
    assert_eq!([&place["line"], &place["column"]], [2, 9]);
    assert_eq!(node.curl("GET", "/", r#"{"offset":0}"#).error()["next"], 0, "nothing of it went in");
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_done_is_405_with_what_can() {
    let node = Node::start_with(&[]);
    assert_eq!(node.curl("GET", "/records", "").status, 404);
    let answer = node.curl("DELETE", "/", "");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, post"), "{}", answer.head);
}

#[test]
fn too_large_is_413_and_names_both_numbers() {
    let node = Node::start_with(&[]);
    // 1 MiB and one byte, as base64.
    let value = "AAAA".repeat((1 << 20) / 3) + "AAA=";
    let answer = node.curl("POST", "/", &format!(r#"{{"record":{{"value":"{value}"}}}}"#));
    let error = answer.error();
    assert_eq!((answer.status, &error["bytes"], &error["max"]), (413, &(1_048_577).into(), &(1_048_576).into()));
    // Refused by what it announces; the body is never read.
    let announced = node.http(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!((announced.status, &announced.error()["bytes"]), (413, &(9_000_000).into()));
}
