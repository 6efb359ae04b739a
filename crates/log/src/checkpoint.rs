//! The fold's value at a point of the log, as a `.state` file keeps it.

use crate::entry::{BadPayload, Entry, EntryId, Kind};
use crate::state::{Outcome, State};
use bytes::{Buf, BufMut, Bytes, BytesMut};

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
        let outcome = self.state.apply(entry)?;
        self.last = Some(entry.id);
        if entry.kind == Kind::Membership {
            self.membership = entry.payload.clone();
            self.membership_id = Some(entry.id);
        }
        Ok(outcome)
    }

    /// Index of the first entry not folded in.
    pub fn next_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    /// ```text
    /// | version u8 | last: flag u8, term u64, index u64 | membership id: the same |
    /// | next offset u64 | first offset u64 | time u64 | membership length u32 | membership |
    /// ```
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + self.membership.len());
        out.put_u8(1);
        for id in [self.last, self.membership_id] {
            out.put_u8(u8::from(id.is_some()));
            out.put_u64_le(id.unwrap_or_default().term);
            out.put_u64_le(id.unwrap_or_default().index);
        }
        out.put_u64_le(self.state.next_offset);
        out.put_u64_le(self.state.first_offset);
        out.put_u64_le(self.state.time_ms);
        out.put_u32_le(self.membership.len() as u32);
        out.put_slice(&self.membership);
        out.freeze()
    }

    /// # Errors
    /// If the bytes are no checkpoint of this version.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, BadPayload> {
        let bad = || BadPayload { what: "checkpoint", length: bytes.len() };
        const FIXED: usize = 1 + 2 * 17 + 3 * 8 + 4;
        let mut rest = bytes;
        if rest.len() < FIXED || rest.get_u8() != 1 {
            return Err(bad());
        }
        let mut id = || match (rest.get_u8(), rest.get_u64_le(), rest.get_u64_le()) {
            (0, 0, 0) => Ok(None),
            (1, term, index) => Ok(Some(EntryId { term, index })),
            _ => Err(bad()),
        };
        let (last, membership_id) = (id()?, id()?);
        let state =
            State { next_offset: rest.get_u64_le(), first_offset: rest.get_u64_le(), time_ms: rest.get_u64_le() };
        if rest.get_u32_le() as usize != rest.len() {
            return Err(bad());
        }
        Ok(Checkpoint { last, membership: Bytes::copy_from_slice(rest), membership_id, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_round_trips_and_no_prefix_of_it_does() {
        let full = Checkpoint {
            last: Some(EntryId { term: 1, index: 2 }),
            membership: Bytes::from_static(b"abc"),
            membership_id: Some(EntryId { term: 1, index: 0 }),
            state: State { next_offset: 4, first_offset: 3, time_ms: 9 },
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
