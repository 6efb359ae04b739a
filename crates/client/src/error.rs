use seedlog_api::ApiError;
use seedlog_api::v1::StreamError;
use std::time::Duration;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server's own word, with its facts.
    #[error(transparent)]
    Server(ApiError),
    /// A status without facts: from the connection, a proxy, or a newer server.
    #[error("{}{}", .code.description(), if .message.is_empty() { String::new() } else { format!(": {}", .message) })]
    Status { code: Code, message: String },
    #[error("no answer within {after:?}")]
    Deadline { after: Duration },
    /// Never sent.
    #[error("the request has {bytes} bytes, the limit is {max}")]
    RequestTooLarge { bytes: usize, max: usize },
    /// Never sent.
    #[error("a producer's id has {bytes} bytes, it must have 1 to {max}")]
    BadProducerId { bytes: usize, max: usize },
    /// The stream broke off before this request's answer.
    #[error("the stream broke off ({})", .why)]
    StreamBroken { why: String },
    /// Never sent: the stream ended before.
    #[error("the stream has ended")]
    StreamEnded,
    /// An answer without what it was asked for.
    #[error("the server's answer makes no sense: {what}")]
    BadAnswer { what: &'static str },
    /// Never sent: no server of the cluster was found in time.
    #[error("no server of the cluster was found: {why}")]
    NoServer { why: String },
    /// The last try wrote nothing, but a try before it may have.
    #[error("the outcome is unknown after {after:?} and several tries; the last one failed with: {last}")]
    Unsettled { after: Duration, last: Box<Error> },
}

/// What a failed produce did to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Surely nothing: it may be sent again.
    NotWritten,
    /// It is written, or will be, or never: sending it again may write it twice.
    Unknown,
}

impl Error {
    /// What the failed produce did to the log. Unknown unless the contrary is known.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Server(ApiError::OutcomeUnknown | ApiError::Internal { .. }) => Outcome::Unknown,
            Error::Server(_)
            | Error::RequestTooLarge { .. }
            | Error::BadProducerId { .. }
            | Error::StreamEnded
            | Error::NoServer { .. } => Outcome::NotWritten,
            Error::Status { code, .. } => match code {
                // What a server says before it looks at the records.
                Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => {
                    Outcome::NotWritten
                }
                _ => Outcome::Unknown,
            },
            Error::Deadline { .. } | Error::BadAnswer { .. } | Error::StreamBroken { .. } | Error::Unsettled { .. } => {
                Outcome::Unknown
            }
        }
    }

    /// Whether the same call may succeed later, or at another server: it says something of the server, or of the way
    /// to it, and nothing of the request.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Server(error) => matches!(
                error,
                ApiError::NoLeader
                    | ApiError::Starting { .. }
                    | ApiError::BeingRepaired { .. }
                    | ApiError::ShuttingDown
                    | ApiError::OutcomeUnknown
                    | ApiError::DiskFull { .. }
                    | ApiError::Internal { .. }
            ),
            Error::Status { code, .. } => matches!(
                code,
                Code::Unavailable
                    | Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Unknown
                    | Code::Internal
                    | Code::ResourceExhausted
                    | Code::Aborted
            ),
            Error::Deadline { .. }
            | Error::BadAnswer { .. }
            | Error::StreamBroken { .. }
            | Error::StreamEnded
            | Error::NoServer { .. } => true,
            Error::RequestTooLarge { .. } | Error::BadProducerId { .. } | Error::Unsettled { .. } => false,
        }
    }

    /// Nothing is at the asked offset, and this is the valid range `first..next`.
    pub fn out_of_range(&self) -> Option<std::ops::Range<u64>> {
        match self {
            Error::Server(ApiError::OffsetOutOfRange { first, next, .. }) => Some(*first..*next),
            _ => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        match ApiError::from_status(&status) {
            Some(error) => Error::Server(error),
            None => Error::Status { code: status.code(), message: status.message().to_owned() },
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Error {
        match ApiError::from_stream_error(&error) {
            Some(error) => Error::Server(error),
            None => Error::Status { code: Code::from_i32(error.code), message: error.message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_not_written_may_be_sent_again() {
        let status = |code| Error::from(Status::new(code, ""));
        for (error, outcome) in [
            (Error::Server(ApiError::EmptyRequest), Outcome::NotWritten),
            (Error::Server(ApiError::NoLeader), Outcome::NotWritten),
            (Error::Server(ApiError::OutcomeUnknown), Outcome::Unknown),
            (Error::Server(ApiError::Internal { what: String::new() }), Outcome::Unknown),
            (Error::Deadline { after: Duration::ZERO }, Outcome::Unknown),
            (Error::RequestTooLarge { bytes: 2, max: 1 }, Outcome::NotWritten),
            (Error::BadProducerId { bytes: 0, max: 1 }, Outcome::NotWritten),
            (Error::StreamEnded, Outcome::NotWritten),
            (Error::StreamBroken { why: String::new() }, Outcome::Unknown),
            (Error::BadAnswer { what: "" }, Outcome::Unknown),
            (Error::NoServer { why: String::new() }, Outcome::NotWritten),
            (
                Error::Unsettled { after: Duration::ZERO, last: Box::new(Error::Server(ApiError::NoLeader)) },
                Outcome::Unknown,
            ),
            (status(Code::Unavailable), Outcome::Unknown),
            (status(Code::Cancelled), Outcome::Unknown),
            (status(Code::Unimplemented), Outcome::NotWritten),
        ] {
            assert_eq!(error.outcome(), outcome, "{error:?}");
        }
    }

    #[test]
    fn what_the_request_is_refused_for_does_not_pass() {
        let status = |code| Error::from(Status::new(code, ""));
        assert!(Error::Server(ApiError::NoLeader).is_passing());
        assert!(Error::Deadline { after: Duration::ZERO }.is_passing());
        assert!(status(Code::Unavailable).is_passing());
        assert!(!Error::Server(ApiError::OffsetOutOfRange { asked: 9, first: 2, next: 5 }).is_passing());
        assert!(!Error::Server(ApiError::SequenceGap { sequence: 9, expected: 5 }).is_passing());
        assert!(!Error::RequestTooLarge { bytes: 2, max: 1 }.is_passing());
        assert!(!status(Code::PermissionDenied).is_passing());
    }

    #[test]
    fn the_facts_survive_the_way_through_a_status_and_through_a_stream() {
        let facts = ApiError::OffsetOutOfRange { asked: 9, first: 2, next: 5 };
        assert_eq!(Error::from(Status::from(facts.clone())), Error::Server(facts.clone()));
        assert_eq!(Error::from(facts.to_stream_error()), Error::Server(facts.clone()));
        assert_eq!(Error::Server(facts).out_of_range(), Some(2..5));
    }
}
