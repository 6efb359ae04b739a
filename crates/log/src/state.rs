//! The fold: everything else the log knows is computed from its entries, in order, by
//! [`State::apply`]. No clock, no I/O, no randomness in here.

use crate::batch::{Conditions, ProducerSequence, RecordBatch};
use crate::command::{Command, Fence, Retention};
use crate::entry::{BadPayload, Entry, Kind};
use crate::producers::{Producers, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The offset the next record gets.
    pub next_offset: u64,
    /// The trim point: records below it need not be kept.
    pub first_offset: u64,
    /// Append time of the last entry, milliseconds since 1970.
    pub time_ms: u64,
    pub fence: Fence,
    pub retention: Retention,
    /// Shared between states until one of them changes it.
    pub producers: Arc<Producers>,
}

/// What one entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Blank or membership.
    Nothing,
    Appended {
        first_offset: u64,
        count: u32,
    },
    /// The same producer's same batch stands there already; nothing was appended.
    Repeated {
        first_offset: u64,
        count: u32,
    },
    /// A condition did not hold; nothing was changed.
    Refused(Refusal),
    Trimmed {
        first_offset: u64,
    },
    Fenced(Fence),
    RetentionSet(Retention),
}

/// The condition that did not hold, and what is the case instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("expected offset {expected}, the next offset is {next}")]
    ExpectedOffset { expected: u64, next: u64 },
    #[error("fencing token {given:?}, the log's is {current}")]
    Fenced { given: Option<u64>, current: u64 },
    #[error("sequence {sequence} is older than what is remembered, {expected} is next")]
    SequenceTooOld { sequence: u64, expected: u64 },
    #[error("sequence {sequence} leaves a gap, {expected} is next")]
    SequenceGap { sequence: u64, expected: u64 },
}

impl Outcome {
    /// How many offsets the entry took.
    pub fn count(self) -> u32 {
        match self {
            Outcome::Appended { count, .. } => count,
            _ => 0,
        }
    }
}

/// What an entry will do to a state, and what has to be noted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub outcome: Outcome,
    /// The entry's append time.
    pub time_ms: u64,
    appended_by: Option<ProducerSequence>,
}

impl State {
    /// Folds one entry in.
    ///
    /// # Errors
    /// If the payload does not decode; the state is unchanged then. An entry is checked before it is
    /// proposed, so this means that it was damaged, or written by a newer version.
    pub fn apply(&mut self, entry: &Entry) -> Result<Outcome, BadPayload> {
        let step = self.decide(entry)?;
        let outcome = step.outcome;
        self.take(step);
        Ok(outcome)
    }

    /// The first half of [`State::apply`]: what the entry does, with nothing done yet.
    pub(crate) fn decide(&self, entry: &Entry) -> Result<Step, BadPayload> {
        let mut appended_by = None;
        let outcome = match entry.kind {
            Kind::Blank | Kind::Membership => Outcome::Nothing,
            Kind::Records => {
                let (conditions, count) = RecordBatch::inspect(&entry.payload)?;
                let outcome = self.decide_records(&conditions, count);
                appended_by = conditions.producer.filter(|_| matches!(outcome, Outcome::Appended { .. }));
                outcome
            }
            Kind::Command => match Command::decode(&entry.payload)? {
                // Never backwards, never past the end: asked for more, it trims what there is.
                Command::Trim { first_offset } => {
                    Outcome::Trimmed { first_offset: first_offset.clamp(self.first_offset, self.next_offset) }
                }
                Command::Fence(Fence { token, .. }) if token < self.fence.token => {
                    Outcome::Refused(Refusal::Fenced { given: Some(token), current: self.fence.token })
                }
                Command::Fence(fence) => Outcome::Fenced(fence),
                Command::SetRetention(retention) => Outcome::RetentionSet(retention),
            },
        };
        Ok(Step { outcome, time_ms: self.time_ms.max(entry.time_ms), appended_by })
    }

    /// A repeat first: what was appended once is so whatever has changed since.
    fn decide_records(&self, conditions: &Conditions, count: u32) -> Outcome {
        let verdict = conditions.producer.as_ref().map_or(Verdict::New, |one| self.producers.judge(one, count));
        if let Verdict::Repeated { first_offset } = verdict {
            return Outcome::Repeated { first_offset, count };
        }
        let (given, current) = (conditions.fencing_token, self.fence.token);
        if given.map_or(self.fence.required, |token| token < current) {
            return Outcome::Refused(Refusal::Fenced { given, current });
        }
        if let Verdict::Refused(refusal) = verdict {
            return Outcome::Refused(refusal);
        }
        match conditions.expected_offset {
            Some(expected) if expected != self.next_offset => {
                Outcome::Refused(Refusal::ExpectedOffset { expected, next: self.next_offset })
            }
            _ => Outcome::Appended { first_offset: self.next_offset, count },
        }
    }

    /// The second half: does what was decided about this very state.
    pub(crate) fn take(&mut self, step: Step) {
        self.time_ms = step.time_ms;
        match step.outcome {
            Outcome::Nothing | Outcome::Repeated { .. } | Outcome::Refused(_) => {}
            Outcome::Appended { first_offset, count } => {
                self.next_offset += u64::from(count);
                if let Some(ProducerSequence { id, sequence, .. }) = step.appended_by {
                    Arc::make_mut(&mut self.producers).note(&id, sequence, first_offset, count);
                }
            }
            Outcome::Trimmed { first_offset } => self.first_offset = first_offset,
            Outcome::Fenced(fence) => self.fence = fence,
            Outcome::RetentionSet(retention) => self.retention = retention,
        }
    }
}

#[cfg(test)]
mod tests;
