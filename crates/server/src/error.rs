//! From the node's errors to the API's.

use crate::servers::shown_id;
use crate::service::Service;
use seedlog_api::ApiError;
use seedlog_log::Refusal;
use seedlog_raft::{ChangeError, ProduceError, ReadError, StopReason, TrimError};

impl Service {
    /// The API's word for what the node said of a produce.
    pub(crate) fn produce_error(&self, error: ProduceError) -> ApiError {
        if let ProduceError::DiskFull { wanted_bytes, free_bytes, reserve_bytes } = error
            && self.is_first_without_room()
        {
            tracing::warn!(
                wanted_bytes,
                free_bytes,
                reserve_bytes,
                "no room on the disk: records are refused (said once)"
            );
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

    /// `asked` is the server that the change was about.
    pub(crate) fn change_error(&self, error: ChangeError, asked: Option<u64>) -> ApiError {
        let status = self.node().status();
        change(error, asked, |node_id| status.members.iter().any(|member| member.node_id == node_id))
    }
}

/// `asked` is the server that the change was about.
fn change(error: ChangeError, asked: Option<u64>, is_member: impl Fn(u64) -> bool) -> ApiError {
    match error {
        ChangeError::NotLeader { .. } => ApiError::NoLeader,
        ChangeError::NoMember { node_id } => ApiError::UnknownServer { id: shown_id(node_id) },
        ChangeError::NoVoter { node_id } if is_member(node_id) => ApiError::NotAVoter { id: shown_id(node_id) },
        ChangeError::NoVoter { node_id } => ApiError::UnknownServer { id: shown_id(node_id) },
        ChangeError::LastVoter { node_id } => ApiError::LastVoter { id: shown_id(node_id) },
        ChangeError::InProgress => ApiError::ChangeInProgress,
        ref refused @ (ChangeError::NoPlace { .. }
        | ChangeError::AlreadyVoter { .. }
        | ChangeError::NotAlive { .. }
        | ChangeError::NotCaughtUp { .. }
        | ChangeError::NoLiveMajority { .. }) => ApiError::ChangeRefused { what: refused.to_string() },
        // From another server's leader the reason comes as text.
        ChangeError::Refused { .. } if asked.is_some_and(|asked| !is_member(asked)) => {
            ApiError::UnknownServer { id: asked.map(shown_id).unwrap_or_default() }
        }
        ChangeError::Refused { reason } => ApiError::ChangeRefused { what: reason },
        ChangeError::Unknown { reason } => {
            tracing::warn!(reason, "the outcome of a change of the membership is unknown");
            ApiError::OutcomeUnknown
        }
        // It may have been proposed before.
        ChangeError::Stopped(reason) => {
            tracing::warn!(%reason, "the node stopped during a change of the membership");
            ApiError::OutcomeUnknown
        }
    }
}

fn produce(error: ProduceError) -> ApiError {
    match error {
        ProduceError::Empty => ApiError::EmptyRequest,
        ProduceError::TooLarge { bytes, max } => ApiError::BatchTooLarge { bytes, max },
        ProduceError::DiskFull { wanted_bytes, free_bytes, reserve_bytes } => {
            ApiError::DiskFull { wanted_bytes, free_bytes, reserve_bytes }
        }
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
        ReadError::BeingRepaired(error) => ApiError::BeingRepaired { what: error.to_string() },
        ReadError::Log(error) => unreadable(error),
    }
}

fn unreadable(error: seedlog_log::ReadError) -> ApiError {
    tracing::error!(%error, "the log cannot be read");
    ApiError::Internal { what: error.to_string() }
}

/// Nothing was done: whoever asked may ask another node. A node that failed says so itself, in its log.
pub fn stopped(reason: StopReason) -> ApiError {
    match reason {
        StopReason::Shutdown | StopReason::Failed(_) => ApiError::ShuttingDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_was_not_made_says_why_and_whom_it_was_about() {
        let answered = |error, asked| change(error, Some(asked), |node_id| node_id < 10);
        let id = |node_id| shown_id(node_id);
        let refused = |reason: &str| ChangeError::Refused { reason: reason.to_owned() };
        for (error, asked, wanted) in [
            (ChangeError::NoMember { node_id: 11 }, 11, ApiError::UnknownServer { id: id(11) }),
            (ChangeError::NoVoter { node_id: 3 }, 3, ApiError::NotAVoter { id: id(3) }),
            (ChangeError::NoVoter { node_id: 11 }, 11, ApiError::UnknownServer { id: id(11) }),
            (ChangeError::LastVoter { node_id: 1 }, 1, ApiError::LastVoter { id: id(1) }),
            (ChangeError::InProgress, 1, ApiError::ChangeInProgress),
            (
                ChangeError::NoLiveMajority { alive: 1, voters: 3 },
                1,
                ApiError::ChangeRefused {
                    what: "only 1 of the 3 voters that there would be are there: no majority".into(),
                },
            ),
            (refused("no"), 1, ApiError::ChangeRefused { what: "no".into() }),
            (refused("node 000000000000000b is no member"), 11, ApiError::UnknownServer { id: id(11) }),
            (ChangeError::NotLeader { leader: None }, 1, ApiError::NoLeader),
            (ChangeError::Unknown { reason: "late".into() }, 1, ApiError::OutcomeUnknown),
            (ChangeError::Stopped(StopReason::Shutdown), 1, ApiError::OutcomeUnknown),
        ] {
            assert_eq!(answered(error.clone(), asked), wanted, "{error:?}");
        }
    }
}
