//! A batch as bytes.

use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::error::WriteError;
use crate::index::Row;
use crate::layout::{
    BATCH_HEADER_BYTES, BatchHeader, FRAME_HEADER_BYTES, FrameHeader, PAYLOAD_BYTES_MAX, crc32c, padded,
};

/// Where a batch goes, and what its header says.
pub(crate) struct Place {
    pub salt: u64,
    /// Bytes from the start of the store.
    pub position: u64,
    pub number: u64,
    pub committed: Option<u64>,
}

/// The bytes of a batch of `entries`, and their index rows. The fold stamps offsets, counts and times, and has run
/// ahead to the batch's end.
///
/// # Errors
/// If the entries do not follow the fold, or do not fit. The fold is somewhere inside the batch then.
pub(crate) fn batch(
    place: &Place,
    fold: &mut Checkpoint,
    entries: &[Entry],
) -> Result<(Vec<u8>, Vec<Row>), WriteError> {
    let first_index = fold.next_index();
    let mut rows = Vec::with_capacity(entries.len());
    let frames = entries.iter().map(|entry| FRAME_HEADER_BYTES + padded(entry.payload.len()));
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + frames.sum::<usize>());
    bytes.resize(BATCH_HEADER_BYTES, 0);
    for entry in entries {
        let follows = entry.id.index == fold.next_index() && fold.last.is_none_or(|l| l.term <= entry.id.term);
        if !follows {
            return Err(WriteError::Gap { last: fold.last, found: entry.id });
        }
        if entry.payload.len() > PAYLOAD_BYTES_MAX {
            let bytes = entry.payload.len();
            return Err(WriteError::TooLarge { id: entry.id, bytes, max: PAYLOAD_BYTES_MAX });
        }
        let first_offset = fold.state.next_offset;
        let outcome = fold.apply(entry).map_err(|error| WriteError::Payload { id: entry.id, error })?;
        let position = place.position + bytes.len() as u64;
        let header = FrameHeader {
            kind: entry.kind,
            payload_length: entry.payload.len() as u32,
            id: entry.id,
            first_offset,
            time_ms: fold.state.time_ms,
            batch: place.number,
            count: outcome.count(),
            payload_crc: crc32c(&entry.payload),
        };
        rows.push(Row { position, first_offset });
        bytes.extend_from_slice(&header.encode(place.salt, position));
        bytes.extend_from_slice(&entry.payload);
        bytes.resize(padded(bytes.len()), 0);
    }
    let header = BatchHeader {
        length: (bytes.len() - BATCH_HEADER_BYTES) as u32,
        number: place.number,
        committed: place.committed,
        first_index,
        count: entries.len() as u32,
    };
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(place.salt, place.position));
    Ok((bytes, rows))
}
