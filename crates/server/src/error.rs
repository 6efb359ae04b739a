//! From the node's errors to the API's.

use crate::service::Service;
use seedlog_api::ApiError;
use seedlog_raft::{ProduceError, ReadError, StopReason};

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
}

fn produce(error: ProduceError) -> ApiError {
    match error {
        ProduceError::Empty => ApiError::EmptyRequest,
        ProduceError::TooLarge { bytes, max } => ApiError::BatchTooLarge { bytes, max },
        ProduceError::DiskFull { free_bytes, reserve_bytes } => ApiError::DiskFull { free_bytes, reserve_bytes },
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
