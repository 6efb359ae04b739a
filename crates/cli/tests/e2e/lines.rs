//! Lines in, lines out: byte for byte, whatever is in them.

use crate::node::{Node, must, run, text};
use std::fmt::Write as _;

/// 100,000 lines of very different lengths, some empty, some no UTF-8.
fn large_input() -> Vec<u8> {
    let mut input = Vec::new();
    for number in 0..100_000_u32 {
        let mut line = String::new();
        if number % 100 != 7 {
            write!(line, "{number} {}", "payload ".repeat(number as usize % 13)).unwrap();
        }
        input.extend_from_slice(line.as_bytes());
        if number % 1000 == 500 {
            input.extend_from_slice(b"\xff\xfe\0\r\t");
        }
        input.push(b'\n');
    }
    input
}

#[test]
fn a_file_of_100_000_lines_comes_back_byte_for_byte() {
    let node = Node::start_with(&[]);
    let input = large_input();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &input).unwrap();
    let summary = must(&["produce", file.path().to_str().unwrap(), "--addr", &node.rpc], b"");
    assert_eq!(text(&summary), "100000 records acknowledged, offsets 0 to 99999\n");
    let output = must(&["consume", "--addr", &node.rpc], b"");
    // Not assert_eq: nobody wants to read two of them.
    assert!(output == input, "{} bytes went in and {} other ones came out", input.len(), output.len());
}

#[test]
fn a_last_line_without_newline_is_a_record_and_an_empty_input_is_none() {
    let node = Node::start_with(&[]);
    let produce = |input: &str| text(&must(&["produce", "--addr", &node.rpc], input.as_bytes()));
    assert_eq!(produce(""), "0 records acknowledged\n");
    assert_eq!(produce("a\n\nb"), "3 records acknowledged, offsets 0 to 2\n");
    assert_eq!(produce("\n"), "1 records acknowledged, offsets 3 to 3\n");
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "a\n\nb\n\n");
}

#[test]
fn a_part_is_read_by_offset_and_count() {
    let node = Node::start_with(&[]);
    must(&["produce", "--addr", &node.rpc], b"a\nb\nc\nd\n");
    let cases: [(&[&str], &str); 6] = [
        (&["--from", "1"], "b\nc\nd\n"),
        (&["--from", "1", "-n", "2"], "b\nc\n"),
        (&["-n", "0"], ""),
        (&["-n", "100"], "a\nb\nc\nd\n"),
        (&["--from", "4"], ""),
        (&["--from", "latest"], ""),
    ];
    for (args, wanted) in cases {
        let args = [&["consume", "--addr", &node.rpc], args].concat();
        assert_eq!(text(&must(&args, b"")), wanted, "{args:?}");
    }
    let past = run(&["consume", "--addr", &node.rpc, "--from", "5"], b"");
    assert_eq!(past.status.code(), Some(1));
    assert!(text(&past.stderr).contains("offset 5 is past the log's end, 4"), "{}", text(&past.stderr));
}

#[test]
fn as_json_each_record_is_a_line_and_a_summary_is_one_object() {
    let node = Node::start_with(&[]);
    let summary = must(&["produce", "--output", "json", "--addr", &node.rpc], b"a\nb\n");
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    let wanted = r#"{"acked":2,"first_offset":0,"last_offset":1,"not_written":0,"repeated":0,"unknown":0}"#;
    assert_eq!(summary, serde_json::from_str::<serde_json::Value>(wanted).unwrap());

    let output = text(&must(&["consume", "--output", "json", "--addr", &node.rpc], b""));
    let records: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|record| &record["offset"]).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(records.iter().map(|record| &record["value"]).collect::<Vec<_>>(), ["YQ==", "Yg=="]);
    assert!(records[0]["append_time_ms"].as_i64() <= records[1]["append_time_ms"].as_i64());

    let status = must(&["status", "--output", "json", "--addr", &node.rpc], b"");
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let server = &status["servers"][0];
    assert_eq!([&server["is_leader"], &server["next_offset"]], [&true.into(), &serde_json::Value::from(2)]);
}

#[test]
fn a_file_that_was_sent_whole_has_nothing_that_was_not_sent() {
    let node = Node::start_with(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("a\nb\n{}\nd\n", "x".repeat(2 << 20))).unwrap();
    let output = run(&["produce", file.path().to_str().unwrap(), "--addr", &node.rpc], b"");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    // The fourth line was sent, or was not, but there is no fifth.
    assert!(stderr.contains("line 3 has 2097152 bytes") && !stderr.contains("from line 5"), "{stderr}");
}

#[test]
fn a_refused_line_ends_the_input_there_and_the_summary_says_exactly_what_went_in() {
    let node = Node::start_with(&[]);
    let input = format!("a\nb\n{}\nc\nd\n", "x".repeat(2 << 20));
    let output = run(&["produce", "--output", "json", "--addr", &node.rpc], input.as_bytes());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("seedlog: line 3 has 2097152 bytes, the limit is 1048576\n"), "{stderr}");
    assert!(stderr.contains("records acknowledged, in the log:         2\n"), "{stderr}");
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&tally["acked"], &tally["last_offset"], &tally["not_written"], &tally["unknown"]], [2, 1, 3, 0]);
    assert_eq!(text(&must(&["consume", "--addr", &node.rpc], b"")), "a\nb\n");
}
