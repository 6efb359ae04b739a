//! Reading: by index for Raft, by offset for consumers.

use crate::batch::RecordBatch;
use crate::checkpoint::Checkpoint;
use crate::command::Retention;
use crate::entry::{Entry, Kind};
use crate::error::{Damage, ReadError};
use crate::layout::{FRAME_HEADER_BYTES, Frame, FrameFault, FrameHeader};
use crate::segment::Segment;
use bytes::{Bytes, BytesMut};
use std::sync::{Arc, RwLock};

/// The segments, oldest first, contiguous, never empty; the last one is written to.
#[derive(Default)]
pub(crate) struct Shared {
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
}

impl Shared {
    /// As they are now: whoever asks with each read must not pay for a long log.
    pub fn list(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.read().expect("no holder panics").clone()
    }

    /// Changes the list; readers that hold a segment keep it until they are done.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        change(Arc::make_mut(&mut self.segments.write().expect("no holder panics")));
    }

    fn find(&self, at_or_before: impl Fn(&Segment) -> bool) -> Option<Arc<Segment>> {
        let segments = self.segments.read().expect("no holder panics");
        let after = segments.partition_point(|segment| at_or_before(segment));
        after.checked_sub(1).map(|at| segments[at].clone())
    }
}

/// A record as it was appended; `bytes` are opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: u64,
    pub term: u64,
    /// Milliseconds since 1970.
    pub append_time_ms: u64,
    pub bytes: Bytes,
}

/// Reads what was written, synced or not: the caller knows how far it may look. Calls read the disk.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// Entries from `from_index` up to, not including, `to_index`: at least one if there is any, and
    /// no more than about `bytes_max` bytes of payload. Empty past the end.
    ///
    /// # Errors
    /// [`ReadError::Purged`] before the first entry kept; damage and I/O errors name the place.
    pub fn entries(&self, from_index: u64, to_index: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        self.frames(from_index, to_index, bytes_max, |frame| {
            bytes += frame.payload.len();
            out.push(frame.into_entry());
            bytes < bytes_max
        })?;
        Ok(out)
    }

    /// Records from `from_offset` up to, not including, `end_offset`: at least one if there is any, at
    /// most `records_max`, and no more than about `bytes_max` bytes.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] before the first record kept; damage and I/O errors name the place.
    pub fn records(
        &self,
        from_offset: u64,
        end_offset: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let mut out: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let Some(segment) = self.shared.find(|segment| segment.before.state.next_offset <= from_offset) else {
            return Err(ReadError::Trimmed { offset: from_offset, first_offset: self.first_offset_kept() });
        };
        if from_offset >= end_offset {
            return Ok(out);
        }
        // A wrong row sends us to a wrong entry: the frame there says so, and the store puts the row right.
        let mut corrected = false;
        loop {
            let mut misplaced = false;
            self.frames(row_of(&segment, from_offset), u64::MAX, bytes_max, |frame| {
                let Frame { header, payload } = frame;
                if out.is_empty() && !holds(&header, from_offset) {
                    misplaced = true;
                    return false;
                }
                if header.first_offset >= end_offset {
                    return false;
                }
                if header.kind != Kind::Records || header.count == 0 {
                    return true;
                }
                // It decoded when it was appended, and its checksum matched just now.
                let batch = RecordBatch::decode(&payload).unwrap_or_default();
                for (offset, record) in (header.first_offset..end_offset).zip(batch.records) {
                    if offset < from_offset {
                        continue;
                    }
                    if out.len() >= records_max || (!out.is_empty() && bytes + record.len() > bytes_max) {
                        return false;
                    }
                    bytes += record.len();
                    out.push(Record { offset, term: header.id.term, append_time_ms: header.time_ms, bytes: record });
                }
                bytes < bytes_max && out.len() < records_max
            })?;
            if !misplaced || corrected {
                break;
            }
            correct(&segment)?;
            corrected = true;
        }
        debug_assert!(out.first().is_none_or(|record| record.offset == from_offset));
        Ok(out)
    }

    /// Offset of the first record appended at or after `time_ms` (milliseconds since 1970), at most
    /// `end_offset`. Append times never decrease along the log, so it is searched for by halves: among
    /// the segments, then among the rows of one.
    ///
    /// # Errors
    /// Damage and I/O errors name the place.
    pub fn offset_at(&self, time_ms: u64, end_offset: u64) -> Result<u64, ReadError> {
        let earlier = |segment: &Segment| segment.before.state.time_ms < time_ms;
        let Some(segment) = self.shared.find(earlier) else {
            // Everything that is kept is that young.
            return Ok(self.first_offset_kept().min(end_offset));
        };
        let (mut low, mut high) = (segment.first_index, segment.next_index());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.header(middle)?.time_ms < time_ms { low = middle + 1 } else { high = middle }
        }
        if low == self.next_index() {
            return Ok(end_offset);
        }
        // The first entry of the segment behind, perhaps.
        Ok(self.header(low)?.first_offset.min(end_offset))
    }

    fn header(&self, index: u64) -> Result<FrameHeader, ReadError> {
        let mut found = None;
        self.frames(index, index + 1, 0, |frame| {
            found = Some(frame.header);
            false
        })?;
        found.ok_or(ReadError::Purged { index, first_index: self.first_index() })
    }

    /// The trim point that `retention` allows at `now_ms`, as far as whole segments go: never the one
    /// that is written to. `None` if it allows none.
    ///
    /// # Errors
    /// If a file's length cannot be had.
    pub fn retention_point(&self, retention: Retention, now_ms: u64) -> Result<Option<u64>, ReadError> {
        let segments = self.shared.list();
        let mut bytes_kept = if retention.bytes_max == 0 { 0 } else { self.bytes()? };
        let mut freed = None;
        for pair in segments.windows(2) {
            let (oldest, next) = (&pair[0], &pair[1].before.state);
            let too_many = retention.bytes_max > 0 && bytes_kept > retention.bytes_max;
            // The next one's start says when this one's last record came.
            let too_old = retention.age_ms_max > 0 && next.time_ms.saturating_add(retention.age_ms_max) < now_ms;
            if !too_many && !too_old {
                break;
            }
            bytes_kept = bytes_kept.saturating_sub(if too_many { oldest.bytes()? } else { 0 });
            freed = Some(next.next_offset);
        }
        Ok(freed)
    }

    /// Bytes of all stores, with what is written ahead.
    ///
    /// # Errors
    /// If a file's length cannot be had.
    pub fn bytes(&self) -> Result<u64, ReadError> {
        self.shared.list().iter().map(|segment| segment.bytes()).sum()
    }

    pub fn segments(&self) -> usize {
        self.shared.list().len()
    }

    /// The newest checkpoint from which every record at or after `first_offset` can still be read and
    /// whose last entry is at or below `committed_index`; `None` if it would free nothing.
    pub fn checkpoint_for_trim(&self, first_offset: u64, committed_index: u64) -> Option<Checkpoint> {
        let segments = self.shared.list();
        let suits = |segment: &&Arc<Segment>| {
            segment.before.state.next_offset <= first_offset
                && segment.before.last.is_some_and(|last| last.index <= committed_index)
        };
        segments[1..].iter().rev().find(suits).map(|segment| segment.before.clone())
    }

    /// Index of the first entry kept.
    pub fn first_index(&self) -> u64 {
        self.shared.list().first().map_or(0, |segment| segment.first_index)
    }

    /// Index after the last entry written.
    pub fn next_index(&self) -> u64 {
        self.shared.list().last().map_or(0, |segment| segment.next_index())
    }

    /// Offset of the first record that is still in a file.
    pub fn first_offset_kept(&self) -> u64 {
        self.shared.list().first().map_or(0, |segment| segment.before.state.next_offset)
    }

    /// The fold before the first entry kept.
    pub fn first_checkpoint(&self) -> Checkpoint {
        self.shared.list().first().map_or_else(Checkpoint::default, |segment| segment.before.clone())
    }

    /// Hands over frames in order until `take` says false or there are no more.
    fn frames(
        &self,
        from_index: u64,
        to_index: u64,
        bytes_hint: usize,
        mut take: impl FnMut(Frame) -> bool,
    ) -> Result<(), ReadError> {
        let mut index = from_index;
        while index < to_index {
            let Some(segment) = self.shared.find(|segment| segment.first_index <= index) else {
                return Err(ReadError::Purged { index, first_index: self.first_index() });
            };
            let end = segment.next_index().min(to_index);
            if index >= end {
                return Ok(());
            }
            let mut chunk = Chunk::default();
            while index < end {
                if !take(chunk.frame(&segment, index, end, bytes_hint)?) {
                    return Ok(());
                }
                index += 1;
            }
        }
        Ok(())
    }
}

fn holds(header: &FrameHeader, offset: u64) -> bool {
    (header.first_offset..header.first_offset + u64::from(header.count)).contains(&offset)
}

/// Index of the last entry whose row says it starts at or before `offset`.
fn row_of(segment: &Segment, offset: u64) -> u64 {
    let (mut low, mut high) = (0, segment.written());
    while low < high {
        let middle = low + (high - low) / 2;
        if segment.index.get(middle).first_offset <= offset { low = middle + 1 } else { high = middle }
    }
    segment.first_index + u64::from(low.saturating_sub(1))
}

/// Rebuilds the rows from the store.
fn correct(segment: &Segment) -> Result<(), ReadError> {
    let scan = segment.scan().map_err(|unreadable| ReadError::Io {
        path: segment.store_path.clone(),
        position: unreadable.position,
        error: Arc::new(unreadable.error),
    })?;
    segment.correct_rows(&scan.rows[..scan.rows.len().min(segment.written() as usize)]);
    Ok(())
}

/// A stretch of a store, read at once.
#[derive(Default)]
struct Chunk {
    position: u64,
    bytes: Bytes,
}

impl Chunk {
    const BYTES_MIN: usize = 4 << 10;
    const BYTES_MAX: usize = 1 << 20;

    fn frame(&mut self, segment: &Segment, index: u64, end: u64, hint: usize) -> Result<Frame, ReadError> {
        let row = (index - segment.first_index) as u32;
        let fault = match self.try_frame(segment, row, index, end, hint)? {
            Ok(frame) => return Ok(frame),
            Err(fault) => fault,
        };
        // Either the row is wrong or the store is; the store decides.
        correct(segment)?;
        self.bytes = Bytes::new();
        match self.try_frame(segment, row, index, end, hint)? {
            Ok(frame) => Ok(frame),
            Err(_) => Err(ReadError::Damaged(Damage {
                file: segment.store_path.clone(),
                position: segment.index.get(row).position,
                what: fault,
                first_index: index,
                next_index: None,
                first_offset: segment.index.get(row).first_offset,
                next_offset: None,
            })),
        }
    }

    fn try_frame(
        &mut self,
        segment: &Segment,
        row: u32,
        index: u64,
        end: u64,
        hint: usize,
    ) -> Result<Result<Frame, &'static str>, ReadError> {
        let position = segment.index.get(row).position;
        let last_row = (end - segment.first_index) as u32 - 1;
        let last_position = segment.index.get(last_row).position;
        let ahead = (last_position.saturating_sub(position) as usize).saturating_add(Self::BYTES_MIN);
        let mut wanted = ahead.min(hint.clamp(Self::BYTES_MIN, Self::BYTES_MAX));
        loop {
            let held = position.checked_sub(self.position).filter(|at| *at < self.bytes.len() as u64);
            let decoded = match held {
                Some(at) => Frame::decode(&self.bytes.slice(at as usize..), segment.salt, position),
                None => Err(FrameFault::Short(FRAME_HEADER_BYTES)),
            };
            match decoded {
                Ok(frame) if frame.header.id.index == index => return Ok(Ok(frame)),
                Ok(_) => return Ok(Err("a row points at another entry's frame")),
                Err(FrameFault::Header) => return Ok(Err("a frame header fails its checksum")),
                Err(FrameFault::Payload) => return Ok(Err("a payload fails its checksum")),
                Err(FrameFault::Short(needed)) => {
                    if held == Some(0) && self.bytes.len() >= wanted && wanted >= needed {
                        return Ok(Err("the file ends inside a frame"));
                    }
                    wanted = wanted.max(needed);
                    self.read(segment, position, wanted)?;
                    if self.bytes.len() < needed {
                        return Ok(Err("the file ends inside a frame"));
                    }
                }
            }
        }
    }

    fn read(&mut self, segment: &Segment, position: u64, length: usize) -> Result<(), ReadError> {
        // A row that was never written back can say anything.
        let length = if position > i64::MAX as u64 - length as u64 { 0 } else { length };
        let mut bytes = BytesMut::zeroed(length);
        let mut filled = 0;
        while filled < length {
            let read = segment.file.read_at(&mut bytes[filled..], position.saturating_add(filled as u64));
            match read.map_err(|error| ReadError::Io {
                path: segment.store_path.clone(),
                position: position + filled as u64,
                error: Arc::new(error),
            })? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        (self.position, self.bytes) = (position, bytes.freeze());
        Ok(())
    }
}
