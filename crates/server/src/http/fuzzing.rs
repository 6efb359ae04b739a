//! What holds whatever a request says: it panics if it does not. The fuzz target (`crates/fuzz`) and a
//! property test call the same.

use super::body::BadBody;
use super::failure::Failure;
use super::query::Query;
use super::routes::ROUTES;
use super::{admin, chapter_1, events, records};
use crate::limits::Limits;
use axum::http::{HeaderMap, HeaderValue};
use seedlog_api::v1::{ProduceRequest, Record};
use serde_json::Value;

/// A query, a header and a body, to every endpoint: understood, or refused with a status, a reason and a place.
///
/// ```text
/// query, newline, Last-Event-ID, newline, body
/// ```
pub fn http(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (query, header, body) = (next(), next(), next());
    if let Ok(query) = std::str::from_utf8(query) {
        queries(query);
    }
    if let Ok(value) = HeaderValue::from_bytes(header) {
        let headers = HeaderMap::from_iter([(axum::http::HeaderName::from_static("last-event-id"), value)]);
        match events::last_event_id(&headers) {
            Ok(seen) => assert!(seen.is_none_or(|seen| seen < u64::MAX && !header.starts_with(b"+"))),
            Err(failure) => refused(failure, &[]),
        }
    }
    // A body on its own, too: the fuzzer need not find two newlines first.
    bodies(body);
    bodies(input);
}

fn queries(query: &str) {
    for (path, _, endpoint) in ROUTES {
        let Some(known) = endpoint.parameters() else { continue };
        match Query::parse(Some(query), known) {
            Ok(query) => {
                let limits = Limits::default();
                assert!(records::wait(&query, &limits).as_millis() <= u128::from(limits.wait_ms_max), "{path}");
                if let Err(error) = query.values_as_text() {
                    refused(error.into(), &[]);
                }
                match records::asked(&query) {
                    Ok(request) => {
                        assert!(request.max_records > 0);
                        assert_eq!(request.offset, query.text("offset").map_or(0, |text| text.parse().unwrap()));
                    }
                    Err(error) => refused(error.into(), &[]),
                }
            }
            Err(error) => refused(error.into(), &[]),
        }
    }
}

fn bodies(body: &[u8]) {
    match records::request(body) {
        Ok(request) => sent_back(request),
        Err(failure) => refused(failure, body),
    }
    match chapter_1::value(body) {
        // What chapter 1 understands, /v1 does, too.
        Ok(value) => assert_eq!(records::request(body).unwrap().record.unwrap().value, value),
        Err(error) => refused(error.into(), body),
    }
    if let Err(error) = chapter_1::offset(body) {
        refused(error.into(), body);
    }
    for error in admin::understood(body).into_iter().filter_map(Result::err) {
        refused(error.into(), body);
    }
}

/// What was consumed can be produced again as it is shown, values as text or not.
fn sent_back(request: ProduceRequest) {
    for record in request.record.into_iter().chain(request.records) {
        assert!(record.offset == 0 && record.term == 0 && record.append_time_ms == 0);
        let kept = Record { offset: 8, term: 2, append_time_ms: 77, ..record.clone() };
        for as_text in [false, true] {
            let shown = serde_json::to_string(&records::RecordOut::of(kept.clone(), as_text)).unwrap();
            let again = records::request(format!(r#"{{"record":{shown}}}"#).as_bytes()).unwrap();
            assert_eq!(again.record.as_ref(), Some(&record), "{shown}");
        }
    }
}

fn refused(failure: Failure, body: &[u8]) {
    if let Failure::Body(BadBody::Json { line, column, .. }) = &failure {
        let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
        // serde_json's line 1 and column 0 is the end of nothing.
        assert!((1..=lines.len()).contains(line), "line {line} of {}", lines.len());
        assert!(*column <= lines[line - 1].len() + 1, "column {column} of {:?}", lines[line - 1]);
    }
    let shown = serde_json::to_string(&failure.shown()).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let text = |name: &str| shown["error"][name].as_str().map(str::len).unwrap_or_default();
    assert!(text("code") > 0 && text("message") > 0 && text("reason") > 0, "{shown}");
    assert_eq!(failure.into_response().status(), 400, "{shown}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[allow(clippy::disallowed_methods, reason = "the corpus is no file of the product")]
    fn kept() -> Vec<Vec<u8>> {
        let dir = format!("{}/../fuzz/corpus/http", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir}: {error}"));
        let kept: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(!kept.is_empty());
        kept
    }

    #[test]
    fn what_fuzzing_kept_still_holds() {
        kept().iter().for_each(|input| http(input));
    }

    proptest! {
        #[test]
        fn a_request_with_mistakes_is_refused_or_understood(
            kept in prop::sample::select(kept()),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
        ) {
            let mut input = kept;
            for (index, byte) in edits {
                let length = input.len();
                if length > 0 {
                    input[index.index(length)] = byte;
                }
            }
            http(&input);
        }
    }
}
