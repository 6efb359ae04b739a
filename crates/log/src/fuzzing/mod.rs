//! What holds whatever bytes a reader is given: each function panics if it does not. The fuzz targets
//! (`crates/fuzz`) and this crate's property tests call the same ones; no product has them.
//!
//! Where plain bytes would never pass a checksum, they are the fields and the script from which sound
//! bytes are made, so that the code behind the checksum is reached.

mod damage;
mod input;
mod layout;
#[cfg(test)]
mod samples;
mod settle;
mod store;
#[cfg(test)]
mod tests;

pub use damage::damage;
pub use input::Input;
pub use layout::layout;
pub use store::store;

use crate::batch::RecordBatch;
use crate::checkpoint::Checkpoint;
use crate::command::Command;
use crate::entry::{Entry, EntryId, Kind};
use crate::layout::NUMBER_MAX;
use bytes::Bytes;

/// More than any input folds in.
const FOLDED_MAX: u64 = 1 << 20;

/// What an entry carries: decoding and inspecting agree, and there is one way to write what was read.
pub fn payloads(payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    match (RecordBatch::decode(&payload), RecordBatch::inspect(&payload)) {
        (Ok(batch), Ok((conditions, count))) => {
            assert_eq!((&batch.conditions, batch.records.len() as u32), (&conditions, count));
            assert_eq!(batch.encode(), payload);
        }
        (decoded, inspected) => assert_eq!(decoded.unwrap_err(), inspected.unwrap_err()),
    }
    if let Ok(command) = Command::decode(&payload) {
        assert_eq!(command.encode(), payload);
    }
}

/// A checkpoint, and entries folded into it: it comes back as it was written, no part of it does, and no
/// entry breaks the fold.
///
/// ```text
/// | length u16 | checkpoint | entries: kind u8, time u64, length u8, payload |
/// ```
pub fn checkpoint(input: &[u8]) {
    let mut input = Input::new(input);
    let length = input.u16().into();
    let Ok(mut checkpoint) = Checkpoint::decode(input.take(length)) else { return };
    round_trip(&checkpoint, &mut input);
    if checkpoint.next_index().max(checkpoint.state.next_offset) > NUMBER_MAX - FOLDED_MAX {
        return;
    }
    while !input.is_empty() {
        let kind = input.kind();
        let id = EntryId { term: checkpoint.last.map_or(1, |last| last.term), index: checkpoint.next_index() };
        let time_ms = input.u64();
        let length = input.u8().into();
        let entry = Entry { id, kind, time_ms, payload: Bytes::copy_from_slice(input.take(length)) };
        let before = checkpoint.clone();
        match checkpoint.apply(&entry) {
            Ok(outcome) => {
                let (was, is) = (&before.state, &checkpoint.state);
                assert_eq!(is.next_offset, was.next_offset + u64::from(outcome.count()));
                assert!(is.time_ms >= was.time_ms.max(entry.time_ms) && is.first_offset >= was.first_offset);
                assert!(is.first_offset <= is.next_offset && is.fence.token >= was.fence.token);
                round_trip(&checkpoint, &mut input);
            }
            Err(_) => {
                assert!(matches!(kind, Kind::Records | Kind::Command));
                assert_eq!(checkpoint, before);
            }
        }
    }
}

fn round_trip(checkpoint: &Checkpoint, input: &mut Input<'_>) {
    let bytes = checkpoint.encode();
    assert_eq!(Checkpoint::decode(&bytes).as_ref(), Ok(checkpoint));
    let cut = input.below(bytes.len());
    assert!(Checkpoint::decode(&bytes[..cut]).is_err());
}
