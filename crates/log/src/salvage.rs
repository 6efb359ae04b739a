//! What is left of a damaged store: every sound frame in it, wherever it lies. A frame's checksums cover the store's
//! salt and its own position, so what decodes is what was written there.

use crate::entry::{EntryId, Kind};
use crate::layout::{BATCH_HEADER_BYTES, BatchHeader, FRAME_HEADER_BYTES, Frame, FrameHeader, STORE_HEADER_BYTES};
use bytes::{Bytes, BytesMut};
use seedlog_runtime::disk::File;
use std::collections::BTreeMap;
use std::io;

#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// By index.
    pub frames: BTreeMap<u64, Frame>,
    /// Of entries whose payload is lost, by index.
    pub headers: BTreeMap<u64, FrameHeader>,
    /// The highest durable committed index that a batch header names.
    pub committed: Option<u64>,
    /// The highest number of a batch.
    pub number: u64,
    /// Where the newest batch that has its header starts: all entries before it had been synced.
    pub newest_batch: Option<u64>,
    /// Something that should be between two of these is not there, be it a batch's header only.
    pub broken: bool,
}

impl Salvage {
    /// Looks through the `bytes` of a store whose first entry has `first_index`.
    pub fn of(bytes: &Bytes, salt: u64, first_index: u64) -> Salvage {
        let mut found = Salvage::default();
        let (mut position, mut next_index, mut term) = (STORE_HEADER_BYTES, first_index, 0);
        let (mut skipped, mut batch_open) = (false, 0);
        while position + BATCH_HEADER_BYTES as u64 <= bytes.len() as u64 {
            let rest = bytes.slice(position as usize..);
            if let Some(batch) = BatchHeader::decode(&rest, salt, position)
                && batch.number > found.number
                && batch.first_index >= next_index
            {
                found.broken |= skipped;
                (found.number, batch_open, skipped) = (batch.number, batch.number, false);
                found.committed = found.committed.max(batch.committed);
                found.newest_batch = Some(batch.first_index);
                position += BATCH_HEADER_BYTES as u64;
                continue;
            }
            let Some(header) = FrameHeader::decode(&rest, salt, position)
                .filter(|it| it.batch >= found.number && it.id.index >= next_index && it.id.term >= term)
            else {
                skipped = true;
                position += 8;
                continue;
            };
            found.broken |= skipped || header.batch != batch_open;
            skipped = false;
            (next_index, term, found.number) = (header.id.index + 1, header.id.term, header.batch);
            match Frame::decode(&rest, salt, position) {
                Ok(frame) => {
                    position += header.frame_length() as u64;
                    found.frames.insert(header.id.index, frame);
                }
                Err(_) => {
                    // Its length may reach past where the next frame was found again.
                    position += FRAME_HEADER_BYTES as u64;
                    found.headers.insert(header.id.index, header);
                    found.broken = true;
                }
            }
        }
        found
    }

    /// What is known of the entry, if its header is.
    pub fn header(&self, index: u64) -> Option<&FrameHeader> {
        self.frames.get(&index).map(|frame| &frame.header).or_else(|| self.headers.get(&index))
    }
}

/// Sound entries that follow each other.
#[derive(Debug)]
pub(crate) struct Run {
    pub first: EntryId,
    pub last: EntryId,
}

/// A [`Salvage`] without the entries.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub runs: Vec<Run>,
    /// Entries whose payload is lost and whose header is not.
    pub lost: Vec<EntryId>,
    /// Payload of the last membership entry that is left.
    pub membership: Option<Bytes>,
    pub committed: Option<u64>,
    pub newest_batch: Option<u64>,
    pub broken: bool,
    /// Some of the file could not be read.
    pub unreadable: bool,
}

impl Outline {
    pub fn of(left: &Salvage, unreadable: bool) -> Outline {
        let mut runs: Vec<Run> = Vec::new();
        let mut membership = None;
        for frame in left.frames.values() {
            let id = frame.header.id;
            match runs.last_mut() {
                Some(run) if run.last.index + 1 == id.index => run.last = id,
                _ => runs.push(Run { first: id, last: id }),
            }
            if frame.header.kind == Kind::Membership {
                membership = Some(&frame.payload);
            }
        }
        Outline {
            runs,
            lost: left.headers.values().map(|header| header.id).collect(),
            // Not a part of the whole store's bytes, which would be kept with it.
            membership: membership.map(|payload| Bytes::copy_from_slice(payload)),
            committed: left.committed,
            newest_batch: left.newest_batch,
            broken: left.broken,
            unreadable,
        }
    }

    /// The first entry from `index` on that is not there.
    pub fn sound_from(&self, index: u64) -> u64 {
        let run = self.runs.iter().find(|run| (run.first.index..=run.last.index).contains(&index));
        run.map_or(index, |run| run.last.index + 1)
    }
}

/// All bytes of a file that can be had; zeros where a read fails, and whether there are any such.
///
/// # Errors
/// If its length cannot be had.
pub(crate) fn read_what_can_be(file: &dyn File) -> io::Result<(Bytes, bool)> {
    const CHUNK: usize = 1 << 20;
    const SECTOR: usize = 4 << 10;
    let length = file.len()? as usize;
    let mut bytes = BytesMut::zeroed(length);
    let mut unreadable = false;
    for at in (0..length).step_by(CHUNK) {
        let chunk = at..(at + CHUNK).min(length);
        if file.read_exact_at(&mut bytes[chunk.clone()], at as u64).is_ok() {
            continue;
        }
        for at in chunk.clone().step_by(SECTOR) {
            let sector = at..(at + SECTOR).min(chunk.end);
            if file.read_exact_at(&mut bytes[sector.clone()], at as u64).is_err() {
                bytes[sector].fill(0);
                unreadable = true;
            }
        }
    }
    Ok((bytes.freeze(), unreadable))
}
