//! A log whose bytes are made up, with checksums that match.

use super::Input;
use super::settle::{OWNER, SALT, disk_of, settle, tiny};
use crate::batch::{Conditions, ProducerSequence, RecordBatch};
use crate::checkpoint::Checkpoint;
use crate::command::{Command, Fence, Retention};
use crate::config::Config;
use crate::entry::{Entry, EntryId, Kind};
use crate::layout::{BatchHeader, FrameHeader, NUMBER_MAX, StoreHeader, crc32c, padded};
use crate::segment::STATE_MAGIC;
use crate::small_file;
use bytes::Bytes;
use seedlog_runtime::disk::{Disk, SimDisk};
use std::path::Path;

const BYTES_MAX: usize = 64 << 10;
const SEGMENTS_MAX: usize = 5;
/// So far counts no script, and from here one stays below the largest numbers.
const FAR: u64 = NUMBER_MAX - (1 << 20);

/// A script is carried out that writes batches and frames which are right but for what the fuzzer nudges,
/// and pieces that are anything. The log is opened, read, opened again: it is refused, or it is the same.
/// Whether it was opened.
///
/// ```text
/// | flags u8 | 1: length u16, a checkpoint to start from | 4: length u16, body of the file `start` | operations |
/// ```
/// Flag 2: only the last segments are checked at the start. 8: the power goes between two opens. 16: `start` is of version 2.
pub fn store(input: &[u8]) -> bool {
    let mut input = Input::new(input);
    let flags = input.u8();
    let mut script = Script::default();
    if flags & 1 != 0 {
        let length = input.u16().into();
        let checkpoint = Checkpoint::decode(input.take(length)).ok();
        script.fold =
            checkpoint.filter(|found| found.next_index().max(found.state.next_offset) < FAR).unwrap_or_default();
    }
    let first_index = script.fold.next_index();
    let version = if flags & 16 != 0 { 2 } else { 1 };
    let start = if flags & 4 != 0 {
        let length = input.u16().into();
        Some(input.take(length).to_vec())
    } else {
        (first_index > 0).then(|| match version {
            1 => first_index.to_le_bytes().to_vec(),
            _ => [&[0], &script.fold.encode()[..]].concat(),
        })
    };
    script.open_segment(first_index, true);
    while !input.is_empty() && script.bytes < BYTES_MAX {
        script.operation(&mut input);
    }

    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for segment in script.segments {
        let name = |extension: &str| format!("{:020}.{extension}", segment.first_index);
        files.push((name("store"), segment.store));
        files.extend(segment.state.map(|state| (name("state"), small(STATE_MAGIC, &state))));
    }
    let magic = if version == 1 { *b"SLSTART1" } else { *b"SLSTART2" };
    files.extend(start.map(|body| ("start".to_owned(), small(magic, &body))));
    files.sort();
    files.dedup_by(|one, other| one.0 == other.0);
    let disk = disk_of(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let start_check_bytes_max = if flags & 2 != 0 { 0 } else { u64::MAX };
    let power_loss = (flags & 8 != 0).then_some(flags.into());
    settle(&disk, &Config { start_check_bytes_max, ..tiny() }, power_loss).is_some()
}

/// A small file's bytes.
fn small(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let (disk, path) = (SimDisk::new(0), Path::new("/file"));
    small_file::replace(&disk as &dyn Disk, path, magic, body).expect("no fault is injected");
    disk.cached_bytes(path).expect("it was just written")
}

#[derive(Default)]
struct Script {
    segments: Vec<SegmentFiles>,
    bytes: usize,
    /// After the entries that are right.
    fold: Checkpoint,
    batch: u64,
}

struct SegmentFiles {
    first_index: u64,
    store: Vec<u8>,
    state: Option<Vec<u8>>,
}

impl Script {
    fn open_segment(&mut self, first_index: u64, with_state: bool) {
        let store = StoreHeader { first_index, salt: SALT, owner: OWNER }.encode().to_vec();
        self.segments.push(SegmentFiles { first_index, store, state: with_state.then(|| self.fold.encode().to_vec()) });
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.segments.last_mut().expect("there is one").store.extend_from_slice(bytes);
    }

    fn position(&self) -> u64 {
        self.segments.last().expect("there is one").store.len() as u64
    }

    fn operation(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 => {
                let length = input.u16().into();
                self.put(input.take(length));
            }
            1 => self.put(&vec![0; usize::from(input.u8()) * 8]),
            2 if self.segments.len() < SEGMENTS_MAX => {
                let first_index = input.nudged(self.fold.next_index());
                self.open_segment(first_index, input.u8().is_multiple_of(4));
            }
            3..=8 => self.batch(input),
            _ => self.frame(input),
        }
    }

    fn batch(&mut self, input: &mut Input<'_>) {
        let number = input.nudged(self.batch.wrapping_add(1));
        let (is_committed, last) = (input.u8() > 127, self.fold.last.map_or(0, |last| last.index));
        let committed = Some(input.nudged(last) % u64::MAX).filter(|_| is_committed && self.fold.last.is_some());
        let header = BatchHeader {
            length: input.u8().into(),
            number,
            committed,
            first_index: input.nudged(self.fold.next_index()),
            count: u32::from(input.u8() % 8),
        };
        self.put(&header.encode(SALT, self.position()));
        self.batch = number;
    }

    fn frame(&mut self, input: &mut Input<'_>) {
        let entry = Entry {
            kind: input.kind(),
            id: EntryId {
                term: input.nudged(self.fold.last.map_or(1, |last| last.term)),
                index: input.nudged(self.fold.next_index()),
            },
            time_ms: input.nudged(self.fold.state.time_ms.max(1)),
            payload: Bytes::new(),
        };
        let payload = payload(entry.kind, input);
        let entry = Entry { payload, ..entry };
        let mut after = self.fold.clone();
        let outcome = after.apply(&entry);
        let count = outcome.as_ref().map_or(0, |outcome| outcome.count());
        let header = FrameHeader {
            kind: entry.kind,
            payload_length: entry.payload.len() as u32,
            id: entry.id,
            first_offset: input.nudged(self.fold.state.next_offset),
            time_ms: input.nudged(after.state.time_ms.max(entry.time_ms)),
            batch: input.nudged(self.batch),
            count: input.nudged(count.into()) as u32,
            payload_crc: crc32c(&entry.payload),
        };
        let position = self.position();
        self.put(&header.encode(SALT, position));
        self.put(&entry.payload);
        self.put(&vec![0; padded(entry.payload.len()) - entry.payload.len()]);
        let right = entry.id.index == self.fold.next_index()
            && entry.id.term >= self.fold.last.map_or(0, |last| last.term)
            && (header.first_offset, header.time_ms) == (self.fold.state.next_offset, after.state.time_ms)
            && (header.batch, header.count) == (self.batch, count);
        if right && outcome.is_ok() {
            self.fold = after;
        }
    }
}

fn payload(kind: Kind, input: &mut Input<'_>) -> Bytes {
    let flags = input.u8();
    if flags & 15 == 15 {
        let length = input.u8().into();
        return Bytes::copy_from_slice(input.take(length));
    }
    match kind {
        Kind::Blank => Bytes::new(),
        Kind::Membership => Bytes::copy_from_slice(&flags.to_le_bytes()),
        Kind::Command => match flags % 3 {
            0 => Command::Trim { first_offset: input.u8().into() },
            1 => Command::Fence(Fence { token: input.u8().into(), required: flags & 4 != 0 }),
            _ => Command::SetRetention(Retention { bytes_max: input.u8().into(), age_ms_max: 0 }),
        }
        .encode(),
        Kind::Records => {
            let producer = ProducerSequence {
                id: Bytes::from(vec![b'p' + (flags >> 6); 1]),
                sequence: if flags & 1 != 0 { input.u8().into() } else { 0 },
                gap_allowed: flags & 2 != 0,
            };
            let conditions = Conditions {
                producer: (flags & 1 != 0).then_some(producer),
                expected_offset: (flags & 4 != 0).then(|| input.u8().into()),
                fencing_token: (flags & 8 != 0).then(|| input.u8().into()),
            };
            let count = input.u8() % 4;
            let record = |_| {
                let length = usize::from(input.u8() % 40);
                Bytes::copy_from_slice(input.take(length))
            };
            RecordBatch { conditions, records: (0..count).map(record).collect() }.encode()
        }
    }
}
