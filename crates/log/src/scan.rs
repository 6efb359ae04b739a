//! Reads a store from its first byte to the first bad one, checking everything on the way.

use crate::checkpoint::Checkpoint;
use crate::index::Row;
use crate::layout::{BATCH_HEADER_BYTES, BatchHeader, Frame, STORE_HEADER_BYTES};
use bytes::{Bytes, BytesMut};
use seedlog_runtime::disk::File;
use std::io;

/// What a store says, from the store alone.
#[derive(Debug)]
pub(crate) struct Scan {
    /// One per sound entry.
    pub rows: Vec<Row>,
    /// The fold after the last sound entry.
    pub after: Checkpoint,
    /// Where the sound bytes end.
    pub end: u64,
    /// Start of the last batch that has a sound header, and its number.
    pub last_batch: Option<(u64, u64)>,
    /// The highest durable committed index that a batch header names.
    pub committed: Option<u64>,
    /// Set unless only zeros follow the sound bytes.
    pub bad: Option<Bad>,
}

/// The first bytes that are not what could have been written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub what: &'static str,
    /// A sound batch behind it with a higher number: proof that the bad one had been synced.
    pub later: Option<Later>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    pub first_index: u64,
    /// Unknown if no frame follows.
    pub first_offset: Option<u64>,
}

/// A read failed.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub position: u64,
    pub error: io::Error,
}

pub(crate) fn read_whole(file: &dyn File) -> Result<Bytes, Unreadable> {
    const CHUNK: usize = 1 << 20;
    let length = file.len().map_err(|error| Unreadable { position: 0, error })? as usize;
    let mut bytes = BytesMut::zeroed(length);
    for at in (0..length).step_by(CHUNK) {
        let end = (at + CHUNK).min(length);
        file.read_exact_at(&mut bytes[at..end], at as u64)
            .map_err(|error| Unreadable { position: at as u64, error })?;
    }
    Ok(bytes.freeze())
}

/// Scans the `bytes` of a whole store. `entries_max` stops it early, for a fold up to a point.
pub(crate) fn scan(bytes: &Bytes, salt: u64, before: &Checkpoint, entries_max: Option<u64>) -> Scan {
    let mut scan = Scan {
        rows: Vec::new(),
        after: before.clone(),
        end: STORE_HEADER_BYTES,
        last_batch: None,
        committed: None,
        bad: None,
    };
    loop {
        let position = scan.end;
        let Some(batch) = batch_header(bytes, salt, position, scan.number(), scan.after.next_index()) else {
            if !only_zeros(bytes, position) {
                scan.bad = Some(scan.bad(bytes, salt, "no sound batch header"));
            }
            return scan;
        };
        scan.last_batch = Some((position, batch.number));
        scan.committed = scan.committed.max(batch.committed);
        scan.end += BATCH_HEADER_BYTES as u64;
        for _ in 0..batch.count {
            if entries_max.is_some_and(|max| scan.rows.len() as u64 >= max) {
                return scan;
            }
            // Cut short by a truncation or a recovery: the next batch takes over right here.
            if batch_header(bytes, salt, scan.end, batch.number, scan.after.next_index()).is_some() {
                break;
            }
            if let Err(what) = scan.frame(bytes, salt, batch.number) {
                scan.bad = Some(scan.bad(bytes, salt, what));
                return scan;
            }
        }
    }
}

impl Scan {
    fn number(&self) -> u64 {
        self.last_batch.map_or(0, |(_, number)| number)
    }

    /// Takes in the frame at `end`, or says what is wrong with it.
    fn frame(&mut self, bytes: &Bytes, salt: u64, batch: u64) -> Result<(), &'static str> {
        let at = (self.end as usize).min(bytes.len());
        let frame = Frame::decode(&bytes.slice(at..), salt, self.end).map_err(|_| "a frame fails its checksum")?;
        let header = frame.header;
        let (next_index, next_offset) = (self.after.next_index(), self.after.state.next_offset);
        let term_before = self.after.last.map_or(0, |last| last.term);
        if header.batch != batch || header.id.index != next_index || header.id.term < term_before {
            return Err("a frame is out of place");
        }
        let entry = frame.into_entry();
        let step = self.after.state.decide(&entry).map_err(|_| "an entry does not decode")?;
        // The stamps were made by the same fold when the entry was appended.
        if header.first_offset != next_offset || header.count != step.outcome.count() || header.time_ms != step.time_ms
        {
            return Err("a frame's stamps are not what the fold gives");
        }
        self.after.take(&entry, step);
        self.rows.push(Row { position: self.end, first_offset: next_offset });
        self.end += header.frame_length() as u64;
        Ok(())
    }

    fn bad(&self, bytes: &Bytes, salt: u64, what: &'static str) -> Bad {
        let later = (self.end..bytes.len() as u64).step_by(8).find_map(|position| {
            let batch = BatchHeader::decode(&bytes[position as usize..], salt, position)?;
            (batch.number > self.number()).then(|| {
                let frames = position as usize + BATCH_HEADER_BYTES;
                let first = Frame::decode(&bytes.slice(frames.min(bytes.len())..), salt, frames as u64).ok();
                Later { first_index: batch.first_index, first_offset: first.map(|frame| frame.header.first_offset) }
            })
        });
        Bad { what, later }
    }
}

fn batch_header(bytes: &Bytes, salt: u64, position: u64, after: u64, first_index: u64) -> Option<BatchHeader> {
    let at = (position as usize).min(bytes.len());
    BatchHeader::decode(&bytes[at..], salt, position)
        .filter(|batch| batch.number > after && batch.first_index == first_index)
}

fn only_zeros(bytes: &Bytes, position: u64) -> bool {
    bytes[(position as usize).min(bytes.len())..].iter().all(|byte| *byte == 0)
}
