//! Reads a log that is in use from its first byte to its last, in small steps, to find what is not what was written.

use crate::keeper::Keeper;
use crate::layout::{BATCH_HEADER_BYTES, BatchHeader, Frame, FrameFault, STORE_HEADER_BYTES, StoreHeader};
use crate::segment::Segment;
use bytes::{Bytes, BytesMut};
use seedlog_runtime::disk::{File, OpenMode};
use std::sync::Arc;

/// One way through the log.
pub struct Scrub {
    keeper: Keeper,
    /// Of the segment that comes next.
    next_index: u64,
    walk: Option<Walk>,
}

/// What a step of a [`Scrub`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// So many bytes were read, and were what had been written.
    Sound { bytes: u64 },
    /// The segment of this entry has something else; it goes on behind it.
    Unsound { index: u64 },
    /// Nothing is left to be read.
    End,
}

/// Where it is in a store.
struct Walk {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    /// Of the next batch or frame.
    position: u64,
    next_index: u64,
    batch: u64,
    /// Entries from here on were not there when the segment was come to.
    end: u64,
}

impl Scrub {
    pub fn new(keeper: Keeper) -> Scrub {
        Scrub { keeper, next_index: 0, walk: None }
    }

    /// Reads on: about `bytes_max` bytes, never more than one segment.
    pub fn step(&mut self, bytes_max: usize) -> Scrubbed {
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => {
                let segments = self.keeper.reader.shared.list();
                let Some(segment) = segments.iter().find(|segment| segment.first_index >= self.next_index) else {
                    return Scrubbed::End;
                };
                self.next_index = segment.first_index + 1;
                match Walk::begin(&self.keeper, segment) {
                    Some(walk) => walk,
                    None => return self.unsound(segment, segment.first_index),
                }
            }
        };
        match walk.step(bytes_max) {
            Ok(bytes) => {
                if walk.next_index < walk.end {
                    self.walk = Some(walk);
                }
                Scrubbed::Sound { bytes }
            }
            Err(()) => self.unsound(&walk.segment, walk.next_index),
        }
    }

    /// A segment that was cut or made anew meanwhile is not what it was, and nothing is wrong with that.
    fn unsound(&self, segment: &Arc<Segment>, index: u64) -> Scrubbed {
        let is_there = self.keeper.reader.shared.list().iter().any(|it| Arc::ptr_eq(it, segment));
        if is_there && index < segment.next_index() {
            Scrubbed::Unsound { index }
        } else {
            Scrubbed::Sound { bytes: 0 }
        }
    }
}

impl Walk {
    /// `None` if the segment's small parts are not there, or not what they were.
    fn begin(keeper: &Keeper, segment: &Arc<Segment>) -> Option<Walk> {
        let end = segment.next_index();
        // The file that has the name now, which is what a start would find.
        let file = keeper.disk.open(&segment.store_path, OpenMode::Read).ok()?;
        let mut header = [0; STORE_HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0).ok()?;
        (StoreHeader::decode(&header)? == segment.header()).then_some(())?;
        segment.state_is_there(&*keeper.disk).then_some(())?;
        let (position, next_index) = (STORE_HEADER_BYTES, segment.first_index);
        Some(Walk { segment: segment.clone(), file, position, next_index, batch: 0, end })
    }

    fn step(&mut self, bytes_max: usize) -> Result<u64, ()> {
        let start = self.position;
        let mut bytes = self.read(start, bytes_max)?;
        while self.next_index < self.end {
            let at = (self.position - start) as usize;
            let rest = bytes.slice(at.min(bytes.len())..);
            if let Some(batch) = BatchHeader::decode(&rest, self.segment.salt, self.position)
                && batch.number > self.batch
                && batch.first_index == self.next_index
            {
                self.batch = batch.number;
                self.position += BATCH_HEADER_BYTES as u64;
                continue;
            }
            match Frame::decode(&rest, self.segment.salt, self.position) {
                Ok(Frame { header, .. }) if header.id.index == self.next_index && header.batch == self.batch => {
                    self.position += header.frame_length() as u64;
                    self.next_index += 1;
                }
                // The stretch ends within it: the next step begins with it.
                Err(FrameFault::Short(_)) if self.position > start => break,
                Err(FrameFault::Short(needed)) if bytes.len() < needed => {
                    bytes = self.read(start, needed)?;
                    if bytes.len() < needed {
                        return Err(());
                    }
                }
                _ => return Err(()),
            }
        }
        Ok(self.position - start)
    }

    fn read(&self, position: u64, length: usize) -> Result<Bytes, ()> {
        let left = self.file.len().map_err(|_| ())?.saturating_sub(position);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = BytesMut::zeroed(length);
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], position + filled as u64).map_err(|_| ())? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes.freeze())
    }
}
