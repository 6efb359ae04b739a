//! A request that is not answered with what it asked for: its status, and an object with code, message, reason and
//! the facts.

use super::answer;
use super::body::BadBody;
use super::query::BadQuery;
use crate::limits::MESSAGE_BYTES_MAX;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use seedlog_api::ApiError;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Body(#[from] BadBody),
    #[error(transparent)]
    Query(#[from] BadQuery),
    #[error("the header Last-Event-ID is {given:?}, it must be an offset: a whole number from 0 to {max}")]
    LastEventId { given: String, max: u64 },
    #[error("the body has {bytes} bytes or more, the limit is {MESSAGE_BYTES_MAX}")]
    BodyTooLarge { bytes: u64 },
    #[error("the body did not arrive within {after:?}")]
    BodyLate { after: Duration },
    #[error("the body broke off: {error}")]
    BodyBroken { error: String },
    #[error("GET {path} takes no body: what it asks for goes into the query, such as {path}?name=value")]
    BodyUnasked { path: String },
    #[error("not answered within {after:?}{}", if *writes { "; it may or may not have been written" } else { "" })]
    NotAnswered { after: Duration, writes: bool },
    #[error("there is nothing at {path:?}, there is {there_is}")]
    NoSuchPath { path: String, there_is: String },
    #[error("{method} has no meaning at {path}: {}", meaning(path, allow))]
    NoSuchMethod { method: String, path: String, allow: String },
    #[error("{what}")]
    NotLive { what: String },
    /// `what` if there is more to say than the reasons do.
    #[error("not ready: {}{}", reasons.join(", "), what.as_ref().map(|what| format!(" ({what})")).unwrap_or_default())]
    NotReady { reasons: Vec<&'static str>, what: Option<String> },
}

fn meaning(path: &str, allow: &str) -> String {
    match path {
        "/" => "POST / appends a record, GET / with a body reads one".to_owned(),
        _ => format!("it takes {allow}"),
    }
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::Api(error) => status_of(error),
            Failure::Body(_) | Failure::Query(_) | Failure::LastEventId { .. } => StatusCode::BAD_REQUEST,
            Failure::BodyBroken { .. } | Failure::BodyUnasked { .. } => StatusCode::BAD_REQUEST,
            Failure::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::BodyLate { .. } => StatusCode::REQUEST_TIMEOUT,
            Failure::NotAnswered { .. } => StatusCode::GATEWAY_TIMEOUT,
            Failure::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            Failure::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Failure::NotLive { .. } | Failure::NotReady { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The gRPC code's name, and the facts that are not in it.
    fn code_and_facts(&self) -> (&'static str, Map<String, Value>) {
        const INVALID: &str = "INVALID_ARGUMENT";
        let (code, facts) = match self {
            Failure::Api(error) => return (code_of(error), facts_of(error)),
            Failure::Body(BadBody::Empty { .. }) => (INVALID, json!({"reason": "EMPTY_BODY"})),
            Failure::Body(BadBody::Json { line, column, .. }) => {
                (INVALID, json!({"reason": "BAD_JSON", "line": line, "column": column}))
            }
            Failure::Body(BadBody::Base64 { field, position, .. }) => {
                (INVALID, json!({"reason": "BAD_BASE64", "field": field, "position": position}))
            }
            Failure::Body(BadBody::Field { field, .. }) => (INVALID, json!({"reason": "BAD_FIELD", "field": field})),
            Failure::Query(BadQuery::Unknown { name, .. }) => {
                (INVALID, json!({"reason": "UNKNOWN_PARAMETER", "name": name}))
            }
            Failure::Query(BadQuery::Value { name, given, .. }) => {
                (INVALID, json!({"reason": "BAD_PARAMETER", "name": name, "given": given}))
            }
            Failure::Query(BadQuery::Repeated { name } | BadQuery::Combination { name, .. }) => {
                (INVALID, json!({"reason": "BAD_PARAMETER", "name": name}))
            }
            Failure::LastEventId { given, .. } => {
                (INVALID, json!({"reason": "BAD_HEADER", "name": "Last-Event-ID", "given": given}))
            }
            Failure::BodyTooLarge { bytes } => {
                (INVALID, json!({"reason": "BODY_TOO_LARGE", "bytes": bytes, "max": MESSAGE_BYTES_MAX}))
            }
            Failure::BodyBroken { .. } => (INVALID, json!({"reason": "BODY_BROKEN"})),
            Failure::BodyUnasked { .. } => (INVALID, json!({"reason": "BODY_UNASKED"})),
            Failure::BodyLate { .. } => ("DEADLINE_EXCEEDED", json!({"reason": "BODY_LATE"})),
            Failure::NotAnswered { .. } => ("DEADLINE_EXCEEDED", json!({"reason": "NOT_ANSWERED"})),
            Failure::NoSuchPath { path, .. } => ("NOT_FOUND", json!({"reason": "NO_SUCH_PATH", "path": path})),
            Failure::NoSuchMethod { method, path, .. } => {
                ("UNIMPLEMENTED", json!({"reason": "NO_SUCH_METHOD", "method": method, "path": path}))
            }
            Failure::NotLive { .. } => ("UNAVAILABLE", json!({"reason": "NODE_FAILED"})),
            Failure::NotReady { reasons, .. } => ("UNAVAILABLE", json!({"reason": "NOT_READY", "reasons": reasons})),
        };
        let Value::Object(facts) = facts else { unreachable!("every arm is an object") };
        (code, facts)
    }

    /// As it stands in a body, and in an event of a tail.
    pub fn shown(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Answer {
            error: Error,
        }
        #[derive(Serialize)]
        struct Error {
            code: &'static str,
            message: String,
            #[serde(flatten)]
            facts: Map<String, Value>,
        }
        let (code, facts) = self.code_and_facts();
        Answer { error: Error { code, message: self.to_string(), facts } }
    }

    pub fn into_response(self) -> Response {
        let mut response = answer::json_with(self.status(), &self.shown());
        if let Failure::NoSuchMethod { allow, .. } = &self {
            let allow = HeaderValue::try_from(allow).expect("methods are plain text");
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if let Failure::Api(error) = &self
            && matches!(error.code(), tonic::Code::Unavailable)
            && !matches!(error, ApiError::OutcomeUnknown)
        {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn status_of(error: &ApiError) -> StatusCode {
    match error {
        ApiError::OffsetOutOfRange { .. } | ApiError::UnknownLog { .. } => StatusCode::NOT_FOUND,
        ApiError::UnknownServer { .. } => StatusCode::NOT_FOUND,
        ApiError::BadServerId { .. } => StatusCode::BAD_REQUEST,
        ApiError::RecordTooLarge { .. } | ApiError::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::EmptyRequest | ApiError::RecordAndRecords | ApiError::Malformed { .. } => StatusCode::BAD_REQUEST,
        ApiError::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        ApiError::ExpectedOffset { .. } => StatusCode::CONFLICT,
        ApiError::Fenced { .. } | ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. } => {
            StatusCode::PRECONDITION_FAILED
        }
        ApiError::NotAVoter { .. } | ApiError::LastVoter { .. } => StatusCode::PRECONDITION_FAILED,
        ApiError::ChangeInProgress | ApiError::ChangeRefused { .. } => StatusCode::PRECONDITION_FAILED,
        ApiError::NoLeader | ApiError::Starting { .. } => StatusCode::SERVICE_UNAVAILABLE,
        ApiError::BeingRepaired { .. } | ApiError::ShuttingDown | ApiError::OutcomeUnknown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ApiError::DiskFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
        ApiError::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn code_of(error: &ApiError) -> &'static str {
    use tonic::Code;
    match error.code() {
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Aborted => "ABORTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Unavailable => "UNAVAILABLE",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Internal => "INTERNAL",
        _ => "UNKNOWN",
    }
}

/// What the error knows, with numbers as numbers.
fn facts_of(error: &ApiError) -> Map<String, Value> {
    let (reason, facts) = error.reason_and_facts();
    let mut map = Map::new();
    map.insert("reason".to_owned(), Value::from(reason));
    for (name, fact) in facts {
        // A log's name and a server's id stay text even if they are all digits.
        let number = fact.parse::<u64>().ok().filter(|_| !matches!(name.as_str(), "id" | "name" | "what" | "field"));
        map.insert(name, number.map_or_else(|| Value::from(fact), Value::from));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::tests::text;

    #[tokio::test]
    async fn a_failure_carries_its_facts() {
        let cases = [
            (
                Failure::from(ApiError::OffsetOutOfRange { asked: 3, first: 0, next: 3 }),
                (
                    404,
                    r#"{"error":{"code":"OUT_OF_RANGE","message":"offset 3 is out of range: valid offsets are 0 to 2","asked":3,"first":0,"next":3,"reason":"OFFSET_OUT_OF_RANGE"}}"#,
                ),
            ),
            (
                Failure::from(ApiError::UnknownLog { name: "7".into() }),
                (
                    404,
                    r#"{"error":{"code":"NOT_FOUND","message":"there is no log \"7\"","name":"7","reason":"UNKNOWN_LOG"}}"#,
                ),
            ),
            (
                Failure::from(ApiError::LastVoter { id: "0000000000000001".into() }),
                (
                    412,
                    r#"{"error":{"code":"FAILED_PRECONDITION","message":"server 0000000000000001 is the only voter: without it, or with it alone, there is nobody else to lead","id":"0000000000000001","reason":"LAST_VOTER"}}"#,
                ),
            ),
            (
                Failure::from(ApiError::DiskFull { wanted_bytes: 9, free_bytes: 7, reserve_bytes: 64 }),
                (
                    507,
                    r#"{"error":{"code":"RESOURCE_EXHAUSTED","message":"no room for 9 bytes: 7 are free on the disk, of which 64 are kept back","free_bytes":7,"reason":"DISK_FULL","reserve_bytes":64,"wanted_bytes":9}}"#,
                ),
            ),
            (
                Failure::BodyTooLarge { bytes: 9_000_000 },
                (
                    413,
                    r#"{"error":{"code":"INVALID_ARGUMENT","message":"the body has 9000000 bytes or more, the limit is 8388608","bytes":9000000,"max":8388608,"reason":"BODY_TOO_LARGE"}}"#,
                ),
            ),
            (
                Failure::NotReady { reasons: vec!["NO_LEADER", "SHUTTING_DOWN"], what: None },
                (
                    503,
                    r#"{"error":{"code":"UNAVAILABLE","message":"not ready: NO_LEADER, SHUTTING_DOWN","reason":"NOT_READY","reasons":["NO_LEADER","SHUTTING_DOWN"]}}"#,
                ),
            ),
        ];
        for (failure, (status, body)) in cases {
            assert_eq!(text(failure.into_response()).await, (status, format!("{body}\n")));
        }
    }

    #[test]
    fn no_leader_says_when_to_try_again_and_an_unknown_outcome_does_not() {
        let retry = |error: ApiError| Failure::from(error).into_response().headers().contains_key("retry-after");
        assert!(retry(ApiError::NoLeader));
        assert!(retry(ApiError::Starting { what: String::new() }));
        assert!(!retry(ApiError::OutcomeUnknown));
    }
}
