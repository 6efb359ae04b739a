//! The table of errors and gRPC statuses: what can go wrong, as facts, and how it travels.

use crate::details::{Any, Detail, ErrorInfo, LocalizedMessage, RetryInfo, RpcStatus};
use crate::v1::StreamError;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};

/// When to try again after [`ApiError::NoLeader`]: about what an election takes.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("offset {asked} is out of range: {}", valid_offsets(*first, *next))]
    OffsetOutOfRange { asked: u64, first: u64, next: u64 },
    #[error("record {index} has {bytes} bytes, the limit is {max}")]
    RecordTooLarge { index: usize, bytes: usize, max: usize },
    #[error("the batch has {bytes} bytes, the limit is {max}")]
    BatchTooLarge { bytes: usize, max: usize },
    #[error("nothing to produce: neither record nor records is set")]
    EmptyRequest,
    #[error("both record and records are set: set one of them")]
    RecordAndRecords,
    /// What in the request cannot be read, or has no meaning.
    #[error("{what}")]
    Malformed { what: String },
    #[error("there is no log {name:?}")]
    UnknownLog { name: String },
    /// A field of the API that has no effect yet: better an error than an ignored wish.
    #[error("{field} is not supported yet")]
    Unsupported { field: String },
    #[error("expected offset {expected}, the next offset is {next}")]
    ExpectedOffset { expected: u64, next: u64 },
    #[error("{}", fenced(*given, *current))]
    Fenced { given: Option<u64>, current: u64 },
    #[error("sequence {sequence} is older than what is remembered of this producer: sequence {expected} is next")]
    SequenceTooOld { sequence: u64, expected: u64 },
    #[error("sequence {sequence} leaves a gap: sequence {expected} is next")]
    SequenceGap { sequence: u64, expected: u64 },
    /// Nothing was written.
    #[error("no leader at the moment, try again")]
    NoLeader,
    /// The node does not serve yet. Nothing was written.
    #[error("this server does not serve yet: {what}")]
    Starting { what: String },
    /// What is asked for is damaged on this server, and is put right: others have it.
    #[error("this server puts right what it lost, try another: {what}")]
    BeingRepaired { what: String },
    /// The node goes away. Nothing was written.
    #[error("this server is shutting down, try another")]
    ShuttingDown,
    /// The produce was under way when its fate could no longer be known here: it may be written, now
    /// or later, or never.
    #[error("the outcome is unknown: the request may or may not have been written")]
    OutcomeUnknown,
    /// Nothing was written.
    #[error(
        "no room for {wanted_bytes} bytes: {free_bytes} are free on the disk, of which {reserve_bytes} are kept back"
    )]
    DiskFull { wanted_bytes: u64, free_bytes: u64, reserve_bytes: u64 },
    /// A server's id as it cannot be.
    #[error("{id:?} is no server's id: expected 16 hex digits, such as 00c0ffee00c0ffee, as GetServers lists them")]
    BadServerId { id: String },
    #[error("there is no server {id} in this cluster")]
    UnknownServer { id: String },
    #[error("server {id} does not vote, so it cannot lead")]
    NotAVoter { id: String },
    #[error("server {id} is the only voter: without it, or with it alone, there is nobody else to lead")]
    LastVoter { id: String },
    #[error("another change of the membership is under way, try again when it is done")]
    ChangeInProgress,
    /// The leader's reason. The membership is as it was.
    #[error("the membership was not changed: {what}")]
    ChangeRefused { what: String },
    #[error("internal error: {what}")]
    Internal { what: String },
}

fn fenced(given: Option<u64>, current: u64) -> String {
    match given {
        Some(given) => format!("fencing token {given} is older than the log's, {current}"),
        None => format!("this log takes no records without a fencing token, its own is {current}"),
    }
}

fn valid_offsets(first: u64, next: u64) -> String {
    match next.saturating_sub(first) {
        0 => format!("the log is empty, the next offset is {next}"),
        1 => format!("the only valid offset is {first}"),
        _ => format!("valid offsets are {first} to {}", next - 1),
    }
}

const DOMAIN: &str = "seedlog";

impl ApiError {
    pub fn code(&self) -> Code {
        use ApiError::*;
        match self {
            OffsetOutOfRange { .. } => Code::OutOfRange,
            RecordTooLarge { .. } | BatchTooLarge { .. } | EmptyRequest | RecordAndRecords | Malformed { .. } => {
                Code::InvalidArgument
            }
            BadServerId { .. } => Code::InvalidArgument,
            UnknownLog { .. } | UnknownServer { .. } => Code::NotFound,
            Unsupported { .. } => Code::Unimplemented,
            ExpectedOffset { .. } => Code::Aborted,
            Fenced { .. } | SequenceTooOld { .. } | SequenceGap { .. } => Code::FailedPrecondition,
            NotAVoter { .. } | LastVoter { .. } | ChangeInProgress | ChangeRefused { .. } => Code::FailedPrecondition,
            NoLeader | Starting { .. } | BeingRepaired { .. } | ShuttingDown | OutcomeUnknown => Code::Unavailable,
            DiskFull { .. } => Code::ResourceExhausted,
            Internal { .. } => Code::Internal,
        }
    }

    /// The variant's name on the wire, and its facts.
    fn info(&self) -> ErrorInfo {
        use ApiError::*;
        let (reason, facts): (&str, Vec<(&str, String)>) = match self {
            OffsetOutOfRange { asked, first, next } => (
                "OFFSET_OUT_OF_RANGE",
                vec![("asked", asked.to_string()), ("first", first.to_string()), ("next", next.to_string())],
            ),
            RecordTooLarge { index, bytes, max } => (
                "RECORD_TOO_LARGE",
                vec![("index", index.to_string()), ("bytes", bytes.to_string()), ("max", max.to_string())],
            ),
            BatchTooLarge { bytes, max } => {
                ("BATCH_TOO_LARGE", vec![("bytes", bytes.to_string()), ("max", max.to_string())])
            }
            EmptyRequest => ("EMPTY_REQUEST", vec![]),
            RecordAndRecords => ("RECORD_AND_RECORDS", vec![]),
            Malformed { what } => ("MALFORMED", vec![("what", what.clone())]),
            UnknownLog { name } => ("UNKNOWN_LOG", vec![("name", name.clone())]),
            Unsupported { field } => ("UNSUPPORTED", vec![("field", field.clone())]),
            ExpectedOffset { expected, next } => {
                ("EXPECTED_OFFSET", vec![("expected", expected.to_string()), ("next", next.to_string())])
            }
            Fenced { given, current } => {
                let given = given.map(|given| ("given", given.to_string()));
                ("FENCED", given.into_iter().chain([("current", current.to_string())]).collect())
            }
            SequenceTooOld { sequence, expected } => {
                ("SEQUENCE_TOO_OLD", vec![("sequence", sequence.to_string()), ("expected", expected.to_string())])
            }
            SequenceGap { sequence, expected } => {
                ("SEQUENCE_GAP", vec![("sequence", sequence.to_string()), ("expected", expected.to_string())])
            }
            NoLeader => ("NO_LEADER", vec![]),
            Starting { what } => ("STARTING", vec![("what", what.clone())]),
            BeingRepaired { what } => ("BEING_REPAIRED", vec![("what", what.clone())]),
            ShuttingDown => ("SHUTTING_DOWN", vec![]),
            OutcomeUnknown => ("OUTCOME_UNKNOWN", vec![]),
            DiskFull { wanted_bytes, free_bytes, reserve_bytes } => (
                "DISK_FULL",
                vec![
                    ("wanted_bytes", wanted_bytes.to_string()),
                    ("free_bytes", free_bytes.to_string()),
                    ("reserve_bytes", reserve_bytes.to_string()),
                ],
            ),
            BadServerId { id } => ("BAD_SERVER_ID", vec![("id", id.clone())]),
            UnknownServer { id } => ("UNKNOWN_SERVER", vec![("id", id.clone())]),
            NotAVoter { id } => ("NOT_A_VOTER", vec![("id", id.clone())]),
            LastVoter { id } => ("LAST_VOTER", vec![("id", id.clone())]),
            ChangeInProgress => ("CHANGE_IN_PROGRESS", vec![]),
            ChangeRefused { what } => ("CHANGE_REFUSED", vec![("what", what.clone())]),
            Internal { what } => ("INTERNAL", vec![("what", what.clone())]),
        };
        let metadata = facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
        ErrorInfo { reason: reason.to_owned(), domain: DOMAIN.to_owned(), metadata }
    }

    fn from_info(info: ErrorInfo) -> Option<ApiError> {
        use ApiError::*;
        if info.domain != DOMAIN {
            return None;
        }
        let text = |name: &str| info.metadata.get(name).cloned();
        let number = |name: &str| -> Option<u64> { info.metadata.get(name)?.parse().ok() };
        let size = |name: &str| -> Option<usize> { info.metadata.get(name)?.parse().ok() };
        Some(match info.reason.as_str() {
            "OFFSET_OUT_OF_RANGE" => {
                OffsetOutOfRange { asked: number("asked")?, first: number("first")?, next: number("next")? }
            }
            "RECORD_TOO_LARGE" => RecordTooLarge { index: size("index")?, bytes: size("bytes")?, max: size("max")? },
            "BATCH_TOO_LARGE" => BatchTooLarge { bytes: size("bytes")?, max: size("max")? },
            "EMPTY_REQUEST" => EmptyRequest,
            "RECORD_AND_RECORDS" => RecordAndRecords,
            "MALFORMED" => Malformed { what: text("what")? },
            "UNKNOWN_LOG" => UnknownLog { name: text("name")? },
            "UNSUPPORTED" => Unsupported { field: text("field")? },
            "EXPECTED_OFFSET" => ExpectedOffset { expected: number("expected")?, next: number("next")? },
            "FENCED" => Fenced { given: number("given"), current: number("current")? },
            "SEQUENCE_TOO_OLD" => SequenceTooOld { sequence: number("sequence")?, expected: number("expected")? },
            "SEQUENCE_GAP" => SequenceGap { sequence: number("sequence")?, expected: number("expected")? },
            "NO_LEADER" => NoLeader,
            "STARTING" => Starting { what: text("what")? },
            "BEING_REPAIRED" => BeingRepaired { what: text("what")? },
            "SHUTTING_DOWN" => ShuttingDown,
            "OUTCOME_UNKNOWN" => OutcomeUnknown,
            "DISK_FULL" => DiskFull {
                wanted_bytes: number("wanted_bytes")?,
                free_bytes: number("free_bytes")?,
                reserve_bytes: number("reserve_bytes")?,
            },
            "BAD_SERVER_ID" => BadServerId { id: text("id")? },
            "UNKNOWN_SERVER" => UnknownServer { id: text("id")? },
            "NOT_A_VOTER" => NotAVoter { id: text("id")? },
            "LAST_VOTER" => LastVoter { id: text("id")? },
            "CHANGE_IN_PROGRESS" => ChangeInProgress,
            "CHANGE_REFUSED" => ChangeRefused { what: text("what")? },
            "INTERNAL" => Internal { what: text("what")? },
            _ => return None,
        })
    }

    /// A serialized google.rpc.Status with the details that go with this error.
    fn details(&self) -> Bytes {
        let mut details: Vec<Any> = vec![self.info().pack()];
        match self {
            ApiError::OffsetOutOfRange { .. } => {
                details.push(LocalizedMessage { locale: "en-US".to_owned(), message: self.to_string() }.pack());
            }
            // Not for an unknown outcome: trying that again may write twice, so it is the caller's choice.
            ApiError::NoLeader
            | ApiError::Starting { .. }
            | ApiError::BeingRepaired { .. }
            | ApiError::ShuttingDown => {
                details.push(RetryInfo { retry_delay: Some(RETRY_AFTER.into()) }.pack());
            }
            _ => {}
        }
        RpcStatus { code: self.code() as i32, message: self.to_string(), details }.encode_to_vec().into()
    }

    fn from_details(details: &[u8]) -> Option<ApiError> {
        let status = RpcStatus::decode(details).ok()?;
        ApiError::from_info(ErrorInfo::find(&status.details)?)
    }

    /// The facts behind a status; none if it did not come from a seedlog server, but from the
    /// transport, a proxy, or a server newer than this code.
    pub fn from_status(status: &Status) -> Option<ApiError> {
        ApiError::from_details(status.details())
    }

    /// The facts behind an error inside a produce stream; none as in [`ApiError::from_status`].
    pub fn from_stream_error(error: &StreamError) -> Option<ApiError> {
        ApiError::from_details(&error.details)
    }

    /// For one request of a produce stream that goes on.
    pub fn to_stream_error(&self) -> StreamError {
        StreamError { code: self.code() as i32, message: self.to_string(), details: self.details() }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        Status::with_details(error.code(), error.to_string(), error.details())
    }
}

/// Every fact by name, as HTTP/JSON shows it beside the message.
impl ApiError {
    pub fn reason_and_facts(&self) -> (String, BTreeMap<String, String>) {
        let info = self.info();
        (info.reason, info.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each; a new variant has to be added here to compile.
    fn all() -> Vec<ApiError> {
        use ApiError::*;
        let all = vec![
            OffsetOutOfRange { asked: 9, first: 2, next: 7 },
            RecordTooLarge { index: 3, bytes: 1_048_577, max: 1_048_576 },
            BatchTooLarge { bytes: 5, max: 4 },
            EmptyRequest,
            RecordAndRecords,
            Malformed { what: "bad base64 at byte 7".into() },
            UnknownLog { name: "other".into() },
            Unsupported { field: "producer_id".into() },
            ExpectedOffset { expected: 4, next: 7 },
            Fenced { given: Some(3), current: 5 },
            Fenced { given: None, current: 5 },
            SequenceTooOld { sequence: 1, expected: 9 },
            SequenceGap { sequence: 12, expected: 9 },
            NoLeader,
            Starting { what: "it waits for a cluster".into() },
            BeingRepaired { what: "a payload fails its checksum at byte 104".into() },
            ShuttingDown,
            OutcomeUnknown,
            DiskFull { wanted_bytes: 9, free_bytes: 5, reserve_bytes: 67_108_864 },
            BadServerId { id: "node-1".into() },
            UnknownServer { id: "0000000000000001".into() },
            NotAVoter { id: "0000000000000001".into() },
            LastVoter { id: "0000000000000001".into() },
            ChangeInProgress,
            ChangeRefused { what: "node 0000000000000002 was faster, and leads now".into() },
            Internal { what: "impossible".into() },
        ];
        for error in &all {
            match error {
                OffsetOutOfRange { .. } | RecordTooLarge { .. } | BatchTooLarge { .. } | EmptyRequest => {}
                RecordAndRecords | Malformed { .. } | UnknownLog { .. } | Unsupported { .. } => {}
                ExpectedOffset { .. } | Fenced { .. } | SequenceTooOld { .. } | SequenceGap { .. } => {}
                NoLeader | Starting { .. } | ShuttingDown | OutcomeUnknown | DiskFull { .. } | Internal { .. } => {}
                BadServerId { .. } | UnknownServer { .. } | NotAVoter { .. } | LastVoter { .. } => {}
                ChangeInProgress | ChangeRefused { .. } | BeingRepaired { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_error_comes_back_from_its_status_with_its_facts() {
        for error in all() {
            let status = Status::from(error.clone());
            assert_eq!(ApiError::from_status(&status), Some(error.clone()));
            assert_eq!((status.code(), status.message()), (error.code(), error.to_string().as_str()));
            let in_stream = error.to_stream_error();
            assert_eq!(ApiError::from_stream_error(&in_stream), Some(error.clone()));
            assert_eq!((in_stream.code, in_stream.message), (error.code() as i32, error.to_string()));
        }
    }

    #[test]
    fn a_status_from_elsewhere_has_no_facts() {
        assert_eq!(ApiError::from_status(&Status::out_of_range("decoded message length too large")), None);
        let foreign = ErrorInfo { reason: "NO_LEADER".into(), domain: "example.org".into(), ..Default::default() };
        let details = RpcStatus { details: vec![foreign.pack()], ..Default::default() }.encode_to_vec();
        assert_eq!(ApiError::from_status(&Status::with_details(Code::Unavailable, "", details.into())), None);
        assert_eq!(ApiError::from_status(&Status::with_details(Code::Unavailable, "", "\u{ff}garbage".into())), None);
    }

    fn details(error: ApiError) -> Vec<Any> {
        RpcStatus::decode(Status::from(error).details()).unwrap().details
    }

    #[test]
    fn out_of_range_says_to_people_what_is_valid() {
        let message = |first, next| {
            LocalizedMessage::find(&details(ApiError::OffsetOutOfRange { asked: 9, first, next })).unwrap().message
        };
        assert_eq!(message(2, 7), "offset 9 is out of range: valid offsets are 2 to 6");
        assert_eq!(message(2, 3), "offset 9 is out of range: the only valid offset is 2");
        assert_eq!(message(3, 3), "offset 9 is out of range: the log is empty, the next offset is 3");
    }

    #[test]
    fn what_was_surely_not_written_says_when_to_try_again_and_an_unknown_outcome_does_not() {
        let delay = |error| RetryInfo::find(&details(error)).map(|info| info.retry_delay.unwrap());
        assert_eq!(delay(ApiError::NoLeader), Some(RETRY_AFTER.into()));
        assert_eq!(delay(ApiError::ShuttingDown), Some(RETRY_AFTER.into()));
        assert_eq!(delay(ApiError::OutcomeUnknown), None);
    }

    /// Pinned against the public google.rpc definitions: type URLs and field numbers.
    #[test]
    fn the_details_are_what_any_grpc_library_reads() {
        let any = |url: &str, value: &[u8]| {
            let url = format!("type.googleapis.com/google.rpc.{url}");
            let body = [&[0x0a, url.len() as u8], url.as_bytes(), &[0x12, value.len() as u8], value].concat();
            [&[0x1a, body.len() as u8], &*body].concat()
        };
        let message = "no leader at the moment, try again";
        let expected = [
            b"\x08\x0e\x12\x22".as_slice(),
            message.as_bytes(),
            &any("ErrorInfo", b"\x0a\x09NO_LEADER\x12\x07seedlog"),
            &any("RetryInfo", b"\x0a\x06\x10\x80\xca\xb5\xee\x01"),
        ]
        .concat();
        assert_eq!(Status::from(ApiError::NoLeader).details(), expected);
    }
}
