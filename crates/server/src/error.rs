//! From the node's errors to the API's.

use crate::service::Service;
use seedlog_api::ApiError;
use seedlog_log::Refusal;
use seedlog_raft::{ProduceError, ReadError, StopReason, TrimError};

impl Service {
    /// The API's word for what the node said of a produce.
    pub(crate) fn produce_error(&self, error: ProduceError) -> ApiError {
        if let ProduceError::DiskFull { free_bytes, reserve_bytes } = error
            && self.is_first_without_room()
        {
            tracing::warn!(free_bytes, reserve_bytes, "no room on the disk: records are refused (said once)");
        }
        produce(error)
    }

    pub(crate) fn trim_error(&self, error: TrimError) -> ApiError {
        match error {
            TrimError::Produce(error) => self.produce_error(error),
            TrimError::Log(error) => unreadable(error),
            // It is committed, and its space comes free later.
            TrimError::Stopped(_) => ApiError::OutcomeUnknown,
        }
    }
}

fn produce(error: ProduceError) -> ApiError {
    match error {
        ProduceError::Empty => ApiError::EmptyRequest,
        ProduceError::TooLarge { bytes, max } => ApiError::BatchTooLarge { bytes, max },
        ProduceError::DiskFull { free_bytes, reserve_bytes } => ApiError::DiskFull { free_bytes, reserve_bytes },
        ProduceError::Refused(refusal) => refused(refusal),
        ProduceError::NotLeader { .. } => ApiError::NoLeader,
        ProduceError::Unknown { reason } => {
            tracing::warn!(reason, "the outcome of a produce is unknown");
            ApiError::OutcomeUnknown
        }
        ProduceError::Stopped(reason) => stopped(reason),
    }
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::ExpectedOffset { expected, next } => ApiError::ExpectedOffset { expected, next },
        Refusal::Fenced { given, current } => ApiError::Fenced { given, current },
        Refusal::SequenceTooOld { sequence, expected } => ApiError::SequenceTooOld { sequence, expected },
        Refusal::SequenceGap { sequence, expected } => ApiError::SequenceGap { sequence, expected },
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
        ReadError::Log(error) => unreadable(error),
    }
}

fn unreadable(error: seedlog_log::ReadError) -> ApiError {
    tracing::error!(%error, "the log cannot be read");
    ApiError::Internal { what: error.to_string() }
}

/// Nothing was done: whoever asked may ask another node. A node that failed says so itself, in its log.
fn stopped(reason: StopReason) -> ApiError {
    match reason {
        StopReason::Shutdown | StopReason::Failed(_) => ApiError::ShuttingDown,
    }
}
