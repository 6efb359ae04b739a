//! The fold's value at a point of the log, as a `.state` file keeps it.

use crate::command::{Fence, Retention};
use crate::entry::{BadPayload, Entry, EntryId, Kind};
use crate::layout::NUMBER_MAX;
use crate::producers::Producers;
use crate::state::{Outcome, State, Step};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// The fold's value, and the membership, after the entry `last` (`None`: before any entry).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    pub last: Option<EntryId>,
    /// Payload of the last [`Kind::Membership`] entry; opaque here, empty before the first.
    pub membership: Bytes,
    pub membership_id: Option<EntryId>,
    pub state: State,
}

impl Checkpoint {
    /// Folds one entry in.
    ///
    /// # Errors
    /// As [`State::apply`]; nothing is changed then.
    pub fn apply(&mut self, entry: &Entry) -> Result<Outcome, BadPayload> {
        let step = self.state.decide(entry)?;
        let outcome = step.outcome;
        self.take(entry, step);
        Ok(outcome)
    }

    /// Does what was decided about the entry and this very state.
    pub(crate) fn take(&mut self, entry: &Entry, step: Step) {
        self.state.take(step);
        self.last = Some(entry.id);
        if entry.kind == Kind::Membership {
            self.membership = entry.payload.clone();
            self.membership_id = Some(entry.id);
        }
    }

    /// Index of the first entry not folded in.
    pub fn next_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    /// ```text
    /// | version u8 | last: flag u8, term u64, index u64 | membership id: the same |
    /// | next offset u64 | first offset u64 | time u64 |
    /// | fencing token u64 | token required u8 | retention bytes u64 | retention age u64 |
    /// | producers | membership length u32 | membership |
    /// ```
    pub fn encode(&self) -> Bytes {
        let State { next_offset, first_offset, time_ms, fence, retention, producers } = &self.state;
        let mut out = BytesMut::with_capacity(128 + self.membership.len());
        out.put_u8(VERSION);
        for id in [self.last, self.membership_id] {
            out.put_u8(u8::from(id.is_some()));
            out.put_u64_le(id.unwrap_or_default().term);
            out.put_u64_le(id.unwrap_or_default().index);
        }
        out.put_u64_le(*next_offset);
        out.put_u64_le(*first_offset);
        out.put_u64_le(*time_ms);
        out.put_u64_le(fence.token);
        out.put_u8(fence.required.into());
        out.put_u64_le(retention.bytes_max);
        out.put_u64_le(retention.age_ms_max);
        producers.encode(&mut out);
        out.put_u32_le(self.membership.len() as u32);
        out.put_slice(&self.membership);
        out.freeze()
    }

    /// # Errors
    /// If the bytes are no checkpoint of this version.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, BadPayload> {
        let bad = || BadPayload { what: "checkpoint", length: bytes.len() };
        let mut rest = bytes;
        let version = rest.try_get_u8().map_err(|_| bad())?;
        let fixed = match version {
            1 => FIXED_BYTES_1,
            VERSION => FIXED_BYTES,
            _ => return Err(bad()),
        };
        if rest.len() < fixed {
            return Err(bad());
        }
        let mut id = || match (rest.get_u8(), rest.get_u64_le(), rest.get_u64_le()) {
            (0, 0, 0) => Ok(None),
            (1, term, index) => Ok(Some(EntryId { term, index })),
            _ => Err(bad()),
        };
        let (last, membership_id) = (id()?, id()?);
        let (next_offset, first_offset, time_ms) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u64_le());
        let mut state = State { next_offset, first_offset, time_ms, ..State::default() };
        if version > 1 {
            let (token, required) = (rest.get_u64_le(), rest.get_u8());
            if required > 1 {
                return Err(bad());
            }
            state.fence = Fence { token, required: required == 1 };
            state.retention = Retention { bytes_max: rest.get_u64_le(), age_ms_max: rest.get_u64_le() };
            state.producers = Arc::new(Producers::decode(&mut rest).ok_or_else(bad)?);
        }
        let numbers = [last.map_or(0, |last| last.index), state.next_offset];
        if state.first_offset > state.next_offset || numbers.into_iter().any(|number| number > NUMBER_MAX) {
            return Err(bad());
        }
        if rest.try_get_u32_le().map_err(|_| bad())? as usize != rest.len() {
            return Err(bad());
        }
        Ok(Checkpoint { last, membership: Bytes::copy_from_slice(rest), membership_id, state })
    }
}

const VERSION: u8 = 2;
/// What comes behind the version and before the producers ..
const FIXED_BYTES: usize = FIXED_BYTES_1 + 9 + 2 * 8;
/// .. and, in version 1, which knew nothing but offsets and times, before the membership.
const FIXED_BYTES_1: usize = 2 * 17 + 3 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_version_1_is_read() {
        let numbers = [4u64, 3, 9].map(u64::to_le_bytes).concat();
        let bytes = [&[1; 1][..], &[0; 2 * 17], &numbers, &3u32.to_le_bytes(), b"abc"].concat();
        let read = Checkpoint::decode(&bytes).unwrap();
        assert_eq!((read.state.next_offset, read.state.first_offset, read.state.time_ms), (4, 3, 9));
        assert_eq!(read.membership, &b"abc"[..]);
    }

    #[test]
    fn a_checkpoint_that_no_log_can_have_is_refused() {
        // Found by fuzzing: the next entry folded in overflowed, or trimmed between 3 and 2.
        let with = |index, first_offset, next_offset| {
            let state = State { first_offset, next_offset, ..State::default() };
            let last = Some(EntryId { term: 1, index });
            Checkpoint::decode(&Checkpoint { last, state, ..Checkpoint::default() }.encode())
        };
        assert!(with(7, 2, 2).is_ok());
        assert!(with(7, 3, 2).is_err());
        assert!(with(7, 0, u64::MAX).is_err());
        assert!(with(u64::MAX, 2, 2).is_err());
    }

    #[test]
    fn a_checkpoint_round_trips_and_no_prefix_of_it_does() {
        let mut producers = Producers::default();
        producers.note(&"p".into(), 3, 1, 2);
        producers.note(&"p".into(), 5, 3, 1);
        producers.note(&"q".into(), 0, 0, 1);
        let full = Checkpoint {
            last: Some(EntryId { term: 1, index: 2 }),
            membership: Bytes::from_static(b"abc"),
            membership_id: Some(EntryId { term: 1, index: 0 }),
            state: State {
                next_offset: 4,
                first_offset: 3,
                time_ms: 9,
                fence: Fence { token: 5, required: true },
                retention: Retention { bytes_max: 6, age_ms_max: 7 },
                producers: Arc::new(producers),
            },
        };
        for checkpoint in [Checkpoint::default(), full] {
            let bytes = checkpoint.encode();
            assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint));
            for end in 0..bytes.len() {
                assert!(Checkpoint::decode(&bytes[..end]).is_err());
            }
        }
    }
}
