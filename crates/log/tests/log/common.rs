//! What the log's tests share: a small log on a simulated disk.

use bytes::Bytes;
use seedlog_log::{Command, Config, Entry, EntryId, Kind, OpenError, Opened, RecordBatch, open};
use seedlog_runtime::disk::sim::{CrashAt, Fault, FaultKind};
use seedlog_runtime::disk::{Disk, SimDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn dir() -> PathBuf {
    PathBuf::from("/data/groups/0")
}

/// Segments of a handful of entries, so that every test crosses some.
pub fn tiny() -> Config {
    Config {
        segment_bytes_max: 700,
        index_rows_max: 6,
        prewrite_bytes: 200,
        start_check_bytes_max: u64::MAX,
        create: true,
        salt: 7,
        owner: Default::default(),
    }
}

pub fn reopen(disk: &SimDisk, config: &Config) -> Result<Opened, OpenError> {
    open(Arc::new(disk.clone()), &dir(), config.clone())
}

/// The machine goes down inside the disk operation after the next `operations`.
pub fn crash_after(disk: &SimDisk, operations: u64) {
    disk.arm_crash(operations, CrashAt::Inside);
}

pub fn fail_next_sync(disk: &SimDisk) {
    let path_suffix = Some(".store".to_owned());
    disk.inject(Fault { kind: FaultKind::SyncError, path_suffix, skip: 0, times: 1 });
}

pub fn records(term: u64, index: u64, values: &[&str]) -> Entry {
    let records: Vec<_> = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    entry(term, index, Kind::Records, RecordBatch::from(records).encode())
}

pub fn trim(term: u64, index: u64, first_offset: u64) -> Entry {
    entry(term, index, Kind::Command, Command::Trim { first_offset }.encode())
}

pub fn entry(term: u64, index: u64, kind: Kind, payload: Bytes) -> Entry {
    Entry { id: EntryId { term, index }, kind, time_ms: index * 10, payload }
}

/// Appends one record a value, each an entry and a batch of its own, synced.
pub fn append(opened: &mut Opened, values: &[&str]) {
    for value in values {
        let index = opened.writer.last().map_or(0, |last| last.index + 1);
        opened.writer.write(&[records(1, index, &[value])]).unwrap();
        opened.writer.sync().unwrap();
    }
}

/// The values of all records, in order.
pub fn values(opened: &Opened) -> Vec<String> {
    let from = opened.reader.first_offset_kept();
    let mut out = Vec::new();
    loop {
        let read = opened.reader.records(from + out.len() as u64, u64::MAX, 3, 64).unwrap();
        if read.is_empty() {
            return out;
        }
        for record in read {
            assert_eq!(record.offset, from + out.len() as u64);
            out.push(String::from_utf8(record.bytes.to_vec()).unwrap());
        }
    }
}

/// The store files, oldest first.
pub fn stores(disk: &SimDisk) -> Vec<PathBuf> {
    let mut names = disk.list(&dir()).unwrap();
    names.retain(|name| name.ends_with(".store"));
    names.iter().map(|name| dir().join(name)).collect()
}

/// Where `needle` lies in a file, as it is cached.
pub fn position_of(disk: &SimDisk, path: &Path, needle: &str) -> u64 {
    let bytes = disk.cached_bytes(path).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap() as u64
}
