//! A sound, synced and sealed log, and damage to some of its bytes.

use super::Input;
use super::settle::{dir, disk_of, files, settle, tiny};
use crate::batch::RecordBatch;
use crate::command::Command;
use crate::config::Config;
use crate::entry::{Entry, EntryId, Kind};
use crate::reader::Record;
use crate::recover::open;
use bytes::Bytes;
use seedlog_runtime::disk::{Disk, SimDisk};
use std::sync::{Arc, OnceLock};

/// Two sound logs, one of them truncated and purged.
static LOGS: OnceLock<[Log; 2]> = OnceLock::new();

struct Log {
    files: Vec<(String, Vec<u8>)>,
    entries: Vec<Entry>,
    records: Vec<Record>,
    /// The last store, and where the seal starts behind all that it protects.
    seal: (String, usize),
}

/// Changes some bytes of a sealed log. Whatever is served afterwards is what was appended; with all
/// segments checked at the start and the seal untouched, all of it is served or the log is refused. An
/// index may say what it likes.
///
/// ```text
/// | flags u8 | changes: file u8, what u8, position u16, .. |
/// ```
/// Flag 1: which log. 2: only the last segments are checked at the start. 8: the power goes between two
/// opens. Returns whether it was opened.
pub fn damage(input: &[u8]) -> bool {
    let mut input = Input::new(input);
    let flags = input.u8();
    let log = &LOGS.get_or_init(|| [log(false), log(true)])[usize::from(flags & 1)];
    let mut changes = Changes { files: log.files.clone(), seal: log.seal.clone(), flips: 0, bursts: 0, complete: true };
    while !input.is_empty() && changes.files.len() > 1 {
        changes.change(&mut input);
    }
    let disk = disk_of(changes.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let whole = flags & 2 == 0;
    let start_check_bytes_max = if whole { u64::MAX } else { 0 };
    let power_loss = (flags & 8 != 0).then_some(flags.into());
    let Some(seen) = settle(&disk, &Config { start_check_bytes_max, ..tiny() }, power_loss) else { return false };
    for entry in seen.entries.iter().flatten() {
        assert!(log.entries.contains(entry), "served, and never appended: {entry:?}");
    }
    for record in seen.records.iter().flatten() {
        assert!(log.records.contains(record), "served, and never appended: {record:?}");
    }
    if changes.complete {
        assert_eq!((seen.entries.len(), seen.records.len()), (log.entries.len(), log.records.len()));
    }
    if changes.complete && whole {
        assert!(seen.entries.iter().all(Option::is_some) && seen.records.iter().all(Option::is_some));
    }
    true
}

struct Changes {
    files: Vec<(String, Vec<u8>)>,
    seal: (String, usize),
    flips: u32,
    bursts: u32,
    /// Nothing was done that the log does not claim to notice.
    complete: bool,
}

impl Changes {
    fn change(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.files.len());
        let what = input.u8() % 16;
        let (name, bytes) = &mut self.files[at];
        if bytes.is_empty() {
            return;
        }
        let position = input.below(bytes.len());
        if name.ends_with(".index") {
            let new = input.take(what.into());
            match what {
                0 => drop(self.files.remove(at)),
                1 => bytes.truncate(position),
                _ => replace(bytes, position, new),
            }
            return;
        }
        let sector = position / 512 * 512..(position / 512 * 512 + 512).min(bytes.len());
        let changed = match what {
            // As many as every CRC-32C of these lengths is sure to notice.
            0..=7 if self.flips < 3 && self.bursts == 0 => {
                self.flips += 1;
                bytes[position] ^= 1 << what;
                position..position + 1
            }
            8..=10 if self.flips == 0 && self.bursts == 0 => {
                self.bursts += 1;
                let end = (position + 4).min(bytes.len());
                replace(bytes, position, input.take(end - position));
                position..end
            }
            // Lost, or written to another place.
            11 => {
                bytes[sector.clone()].fill(0);
                sector
            }
            12 => {
                let to = input.below(bytes.len()) / 512 * 512;
                let copy = bytes[sector].to_vec();
                replace(bytes, to, &copy);
                to..to + copy.len()
            }
            // To cut a store short by hand, or to take it away, is outside the promise; a lost state is computed again.
            13 if name.ends_with(".state") => {
                self.files.remove(at);
                return;
            }
            14 => {
                bytes.truncate(position);
                self.complete = false;
                return;
            }
            15 => {
                self.files.remove(at);
                self.complete = false;
                return;
            }
            _ => return,
        };
        if *name == self.seal.0 && changed.end > self.seal.1 {
            self.complete = false;
        }
    }
}

fn replace(bytes: &mut [u8], position: usize, new: &[u8]) {
    let end = (position + new.len()).min(bytes.len());
    bytes[position..end].copy_from_slice(&new[..end - position]);
}

fn log(purged: bool) -> Log {
    let disk = SimDisk::new(1);
    let mut opened = open(Arc::new(disk.clone()), &dir(), tiny()).expect("an empty disk");
    let writer = &mut opened.writer;
    let mut append = |entries: Vec<Entry>| {
        for batch in entries.chunk_by(|one, other| one.time_ms == other.time_ms) {
            writer.write(batch).expect("no fault is injected");
            writer.sync().expect("no fault is injected");
            writer.set_committed(batch[0].id.index.saturating_sub(1));
        }
    };
    let entry = |term: u64, index: u64, kind, payload| {
        // Three entries a batch.
        Entry { id: EntryId { term, index }, kind, time_ms: 100 + index / 3, payload }
    };
    let records = |term, index: u64| {
        let record = |at: u64| Bytes::from(vec![b'a' + (index % 26) as u8; (index * 37 + at * 11) as usize % 150]);
        let records: Vec<_> = (0..1 + index % 3).map(record).collect();
        entry(term, index, Kind::Records, RecordBatch::from(records).encode())
    };
    append(vec![entry(1, 0, Kind::Membership, "members".into()), entry(1, 1, Kind::Blank, Bytes::new())]);
    append((2..20).map(|index| records(1, index)).collect());
    if purged {
        append(vec![entry(1, 20, Kind::Command, Command::Trim { first_offset: 12 }.encode())]);
        append(vec![records(1, 21), records(1, 22)]);
        opened.writer.truncate_from(22).expect("nothing of it is committed");
        let rest: Vec<_> = (22..30).map(|index| records(2, index)).collect();
        for one in rest {
            opened.writer.write(&[one]).expect("no fault is injected");
            opened.writer.sync().expect("no fault is injected");
        }
        opened.writer.purge(9).expect("no fault is injected");
    }
    opened.writer.seal().expect("no fault is injected");
    let reader = &opened.reader;
    let entries = reader.entries(reader.first_index(), u64::MAX, usize::MAX).expect("it is sound");
    let end = opened.writer.fold.state.next_offset;
    let records = reader.records(reader.first_offset_kept(), end, usize::MAX, usize::MAX).expect("it is sound");
    let store = opened.writer.active.store_path.file_name().expect("a file").to_string_lossy().into_owned();
    let (seal, _) = opened.writer.active.scan().expect("it can be read").last_batch.expect("the seal");
    assert!(reader.segments() > 3 && records.len() > 10);
    disk.sync_dir(&dir()).expect("no fault is injected");
    Log { files: files(&disk), entries, records, seal: (store, seal as usize) }
}
