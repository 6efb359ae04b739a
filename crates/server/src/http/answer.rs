//! JSON out: one object and a newline, as Go's encoder writes it.

use super::request::BadBody;
use crate::limits::MESSAGE_BYTES_MAX;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seedlog_api::ApiError;
use seedlog_api::v1::Record;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

#[derive(Serialize)]
struct Produced {
    offset: u64,
}

#[derive(Serialize)]
struct Consumed {
    record: RecordOut,
}

#[derive(Serialize)]
struct RecordOut {
    value: String,
    offset: u64,
}

pub fn produced(offset: u64) -> Response {
    respond(StatusCode::OK, &Produced { offset })
}

pub fn consumed(record: &Record) -> Response {
    let record = RecordOut { value: STANDARD.encode(&record.value), offset: record.offset };
    respond(StatusCode::OK, &Consumed { record })
}

fn respond(status: StatusCode, answer: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(answer).expect("strings and numbers always encode");
    body.push(b'\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// To a gRPC client that has the wrong port, in its own language: a status without a body.
pub fn not_grpc(rpc_addr: &str) -> Response {
    let message = format!("this port is for HTTP/JSON, gRPC is at {rpc_addr}");
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(tonic::Code::Unimplemented as i32));
    headers.insert("grpc-message", HeaderValue::try_from(message).expect("an address is plain text"));
    response
}

/// A request that is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Body(#[from] BadBody),
    #[error("the body has {bytes} bytes or more, the limit is {MESSAGE_BYTES_MAX}")]
    BodyTooLarge { bytes: u64 },
    #[error("the body did not arrive within {after:?}")]
    BodyLate { after: Duration },
    #[error("the body broke off: {error}")]
    BodyBroken { error: String },
    #[error("not answered within {after:?}{}", if *produce { "; the record may or may not have been written" } else { "" })]
    NotAnswered { after: Duration, produce: bool },
    #[error("there is nothing at {path:?}: the log is at \"/\"")]
    NoSuchPath { path: String },
    #[error("{method} has no meaning here: POST / appends a record, GET / with a body reads one")]
    NoSuchMethod { method: String },
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::Api(error) => status_of(error),
            Failure::Body(_) | Failure::BodyBroken { .. } => StatusCode::BAD_REQUEST,
            Failure::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::BodyLate { .. } => StatusCode::REQUEST_TIMEOUT,
            Failure::NotAnswered { .. } => StatusCode::GATEWAY_TIMEOUT,
            Failure::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            Failure::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The gRPC code's name, and the facts that are not in it.
    fn code_and_facts(&self) -> (&'static str, Map<String, Value>) {
        let (code, facts) = match self {
            Failure::Api(error) => return (code_of(error), facts_of(error)),
            Failure::Body(BadBody::Empty { .. }) => ("INVALID_ARGUMENT", json!({})),
            Failure::Body(BadBody::Json { line, column, .. }) => {
                ("INVALID_ARGUMENT", json!({"line": line, "column": column}))
            }
            Failure::Body(BadBody::Base64 { position, .. }) => ("INVALID_ARGUMENT", json!({"position": position})),
            Failure::BodyTooLarge { bytes } => ("INVALID_ARGUMENT", json!({"bytes": bytes, "max": MESSAGE_BYTES_MAX})),
            Failure::BodyBroken { .. } => ("INVALID_ARGUMENT", json!({})),
            Failure::BodyLate { .. } | Failure::NotAnswered { .. } => ("DEADLINE_EXCEEDED", json!({})),
            Failure::NoSuchPath { path } => ("NOT_FOUND", json!({"path": path})),
            Failure::NoSuchMethod { method } => ("UNIMPLEMENTED", json!({"method": method})),
        };
        let Value::Object(facts) = facts else { unreachable!("every arm is an object") };
        (code, facts)
    }

    pub fn into_response(self) -> Response {
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
        let mut response = respond(self.status(), &Answer { error: Error { code, message: self.to_string(), facts } });
        if self.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        }
        if matches!(self, Failure::Api(ApiError::NoLeader | ApiError::ShuttingDown)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn status_of(error: &ApiError) -> StatusCode {
    match error {
        ApiError::OffsetOutOfRange { .. } | ApiError::UnknownLog { .. } => StatusCode::NOT_FOUND,
        ApiError::RecordTooLarge { .. } | ApiError::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::EmptyRequest | ApiError::RecordAndRecords | ApiError::Malformed { .. } => StatusCode::BAD_REQUEST,
        ApiError::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        ApiError::ExpectedOffset { .. } => StatusCode::CONFLICT,
        ApiError::Fenced { .. } | ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. } => {
            StatusCode::PRECONDITION_FAILED
        }
        ApiError::NoLeader | ApiError::ShuttingDown | ApiError::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
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
        // A log's name stays text even if it is all digits.
        let number = fact.parse::<u64>().ok().filter(|_| !matches!(name.as_str(), "name" | "what" | "field"));
        map.insert(name, number.map_or_else(|| Value::from(fact), Value::from));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_are_what_the_books_server_writes() {
        let record = Record { value: "Let's Go #1\n".into(), offset: 7, term: 3, ..Record::default() };
        assert_eq!(shown(produced(7)).await, (200, "{\"offset\":7}\n".into()));
        let wanted = "{\"record\":{\"value\":\"TGV0J3MgR28gIzEK\",\"offset\":7}}\n";
        assert_eq!(shown(consumed(&record)).await, (200, wanted.into()));
    }

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
                Failure::from(ApiError::DiskFull { free_bytes: 7, reserve_bytes: 64 }),
                (
                    507,
                    r#"{"error":{"code":"RESOURCE_EXHAUSTED","message":"no room: 7 bytes are free on the disk, of which 64 are kept back","free_bytes":7,"reason":"DISK_FULL","reserve_bytes":64}}"#,
                ),
            ),
            (
                Failure::BodyTooLarge { bytes: 9_000_000 },
                (
                    413,
                    r#"{"error":{"code":"INVALID_ARGUMENT","message":"the body has 9000000 bytes or more, the limit is 8388608","bytes":9000000,"max":8388608}}"#,
                ),
            ),
        ];
        for (failure, (status, body)) in cases {
            assert_eq!(shown(failure.into_response()).await, (status, format!("{body}\n")));
        }
    }

    #[test]
    fn no_leader_says_when_to_try_again_and_an_unknown_outcome_does_not() {
        let retry = |error: ApiError| Failure::from(error).into_response().headers().contains_key("retry-after");
        assert!(retry(ApiError::NoLeader));
        assert!(!retry(ApiError::OutcomeUnknown));
    }
}
