//! From the node's errors to the API's.

use seedlog_api::ApiError;
use seedlog_raft::{ProduceError, ReadError, StopReason};

pub fn produce(error: ProduceError) -> ApiError {
    match error {
        ProduceError::Empty => ApiError::EmptyRequest,
        ProduceError::TooLarge { bytes, max } => ApiError::BatchTooLarge { bytes, max },
        ProduceError::DiskFull { .. } => ApiError::DiskFull,
        ProduceError::NotLeader { .. } => ApiError::NoLeader,
        ProduceError::Unknown { reason } => {
            tracing::warn!(reason, "the outcome of a produce is unknown");
            ApiError::OutcomeUnknown
        }
        ProduceError::Stopped(reason) => stopped(reason),
    }
}

pub fn read(error: ReadError) -> ApiError {
    match error {
        ReadError::OutOfRange { asked, first, next } => ApiError::OffsetOutOfRange { asked, first, next },
        ReadError::NotLeader { .. } => ApiError::NoLeader,
        ReadError::NoQuorum { reason } => {
            tracing::debug!(reason, "no majority answered a read");
            ApiError::NoLeader
        }
        ReadError::Stopped(reason) => stopped(reason),
        ReadError::Log(error) => {
            tracing::error!(%error, "a record cannot be read");
            ApiError::Internal { what: error.to_string() }
        }
    }
}

/// Nothing was done: whoever asked may ask another node. A node that failed says so itself, in its log.
fn stopped(reason: StopReason) -> ApiError {
    match reason {
        StopReason::Shutdown | StopReason::Failed(_) => ApiError::ShuttingDown,
    }
}
