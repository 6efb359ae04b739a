use crate::error::Error;
use seedlog_api::ApiError;
use std::fmt;
use std::ops::Range;

/// Which of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Destination => "destination",
        })
    }
}

/// Why a mirror copies nothing, or nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    #[error("the {side}: {error}")]
    Call { side: Side, error: Error },
    #[error("source and destination are the same cluster, {cluster_id}: it would copy its own copies for ever")]
    SameCluster { cluster_id: String },
    /// Seen before anything is copied.
    #[error(
        "the source {source_id} has itself mirrored the destination {destination_id}: from offset {position} on there \
         are copies, up to {mirrored_to}, which would come back to where they are from (what follows them can be \
         mirrored: start at {})", mirrored_to + 1
    )]
    MirroredBack { source_id: String, destination_id: String, position: u64, mirrored_to: u64 },
    /// Seen at this very record, which is not copied.
    #[error(
        "a loop: the source's record at offset {offset} is from the destination {destination_id} itself, where it is \
         at offset {at_home}"
    )]
    Loop { offset: u64, destination_id: String, at_home: u64 },
    #[error(
        "the source {source_id} has trimmed offsets {} to {} before they were copied: they are lost to the mirror, \
         unless they are skipped expressly", trimmed.start, trimmed.end - 1
    )]
    Trimmed { trimmed: Range<u64>, source_id: String },
    #[error(
        "the destination has offsets of the source {source_id} up to {}, but the source ends before {source_end}: it \
         has lost records, or is not the one it was", position - 1
    )]
    SourceIsShorter { source_id: String, position: u64, source_end: u64 },
    #[error(
        "how far the copy is cannot be known: the destination may have forgotten this mirror, since it remembers \
         {producers_max} producers, and no record from its first offset {first_offset} on is from the source \
         {source_id}: say where to resume"
    )]
    PositionLost { source_id: String, producers_max: u32, first_offset: u64 },
    #[error("the {side} is another cluster than before: it was {was}, and is {is}")]
    ClusterChanged { side: Side, was: String, is: String },
    #[error("the {side} does not say which cluster it is")]
    NoClusterId { side: Side },
    #[error("the destination does not take the source's record at offset {offset}: {error}")]
    Refused { offset: u64, error: Error },
    /// Somebody else copies the same, or what is left of an earlier mirror did.
    #[error("the destination is not where it was expected: {error}")]
    OutOfStep { error: Error },
}

impl MirrorError {
    pub(super) fn at(side: Side) -> impl Fn(Error) -> MirrorError {
        move |error| MirrorError::Call { side, error }
    }

    /// The record at `offset` was not taken.
    pub(super) fn delivery(offset: u64, error: Error) -> MirrorError {
        let last = root(&error);
        match last {
            Error::Server(ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. }) => {
                MirrorError::OutOfStep { error: last.clone() }
            }
            // What may be there is not parted, or it could be there twice. From where the copy then ends it is.
            Error::Server(ApiError::BatchTooLarge { .. }) if matches!(error, Error::Unsettled { .. }) => {
                MirrorError::OutOfStep { error: last.clone() }
            }
            last if last.is_passing() => MirrorError::Call { side: Side::Destination, error: last.clone() },
            last => MirrorError::Refused { offset, error: last.clone() },
        }
    }

    /// Whether it may be over at the next try.
    pub fn is_passing(&self) -> bool {
        match self {
            MirrorError::Call { error, .. } => root(error).is_passing(),
            MirrorError::OutOfStep { .. } => true,
            _ => false,
        }
    }
}

/// What the last try came to.
fn root(error: &Error) -> &Error {
    match error {
        Error::Unsettled { last, .. } => root(last),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn unsettled(last: Error) -> Error {
        Error::Unsettled { after: Duration::ZERO, last: Box::new(last) }
    }

    #[test]
    fn a_batch_that_is_too_large_and_may_be_there_is_tried_from_where_the_copy_ends() {
        let too_large = Error::Server(ApiError::BatchTooLarge { bytes: 2, max: 1 });
        assert!(matches!(MirrorError::delivery(7, unsettled(too_large.clone())), MirrorError::OutOfStep { .. }));
        assert!(matches!(MirrorError::delivery(7, too_large), MirrorError::Refused { offset: 7, .. }));
    }

    #[test]
    fn what_the_last_try_came_to_says_whether_it_passes() {
        let too_old = Error::Server(ApiError::SequenceTooOld { sequence: 3, expected: 5 });
        let too_large = Error::Server(ApiError::RecordTooLarge { index: 0, bytes: 2, max: 1 });
        let no_leader = Error::Server(ApiError::NoLeader);
        for (error, passes) in [(too_old, true), (too_large, false), (no_leader, true)] {
            for error in [error.clone(), unsettled(error)] {
                assert_eq!(MirrorError::delivery(7, error.clone()).is_passing(), passes, "{error}");
            }
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let trimmed = MirrorError::Trimmed { trimmed: 3..9, source_id: "a".into() };
        assert!(trimmed.to_string().contains("offsets 3 to 8"), "{trimmed}");
        let back = MirrorError::MirroredBack {
            source_id: "a".into(),
            destination_id: "b".into(),
            position: 2,
            mirrored_to: 6,
        };
        assert!(back.to_string().contains("start at 7"), "{back}");
        let refused = MirrorError::delivery(7, Error::RequestTooLarge { bytes: 2, max: 1 });
        assert!(refused.to_string().contains("offset 7: the request has 2 bytes, the limit is 1"), "{refused}");
    }
}
