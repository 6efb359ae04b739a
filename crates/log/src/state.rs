//! The fold: everything else the log knows is computed from its entries, in order, by
//! [`State::apply`]. No clock, no I/O, no randomness in here.

use crate::entry::{BadPayload, Command, Entry, Kind, RecordBatch};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The offset the next record gets.
    pub next_offset: u64,
    /// The trim point: records below it need not be kept.
    pub first_offset: u64,
    /// Append time of the last entry, milliseconds since 1970.
    pub time_ms: u64,
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
    Trimmed {
        first_offset: u64,
    },
}

impl Outcome {
    /// How many offsets the entry took.
    pub fn count(self) -> u32 {
        match self {
            Outcome::Appended { count, .. } => count,
            Outcome::Nothing | Outcome::Trimmed { .. } => 0,
        }
    }
}

impl State {
    /// Folds one entry in.
    ///
    /// # Errors
    /// If the payload does not decode; the state is unchanged then. An entry is checked before it is
    /// proposed, so this means that it was damaged, or written by a newer version.
    pub fn apply(&mut self, entry: &Entry) -> Result<Outcome, BadPayload> {
        let outcome = match entry.kind {
            Kind::Blank | Kind::Membership => Outcome::Nothing,
            Kind::Records => {
                let count = RecordBatch::decode(&entry.payload)?.records.len() as u32;
                Outcome::Appended { first_offset: self.next_offset, count }
            }
            Kind::Command => match Command::decode(&entry.payload)? {
                // Never backwards, never past the end: asked for more, it trims what there is.
                Command::Trim { first_offset } => {
                    Outcome::Trimmed { first_offset: first_offset.clamp(self.first_offset, self.next_offset) }
                }
            },
        };
        self.time_ms = self.time_ms.max(entry.time_ms);
        match outcome {
            Outcome::Nothing => {}
            Outcome::Appended { count, .. } => self.next_offset += u64::from(count),
            Outcome::Trimmed { first_offset } => self.first_offset = first_offset,
        }
        Ok(outcome)
    }
}
