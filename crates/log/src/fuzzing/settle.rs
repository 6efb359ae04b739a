//! Opens whatever lies on a disk, and what holds of every open.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::entry::{Entry, EntryId, Kind};
use crate::error::{OpenError, ReadError};
use crate::layout::NUMBER_MAX;
use crate::reader::Record;
use crate::recover::{Opened, Torn, open};
use crate::verify::verify;
use crate::{Identity, RecordBatch, Recovered};
use bytes::Bytes;
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const SALT: u64 = 7;
pub const OWNER: Identity = Identity { cluster_id: 3, node_id: 4 };

/// So many are looked at: damage may claim any number of them.
const RECORDS_MAX: usize = 2000;

pub fn dir() -> PathBuf {
    PathBuf::from("/data")
}

/// Segments of a handful of entries.
pub fn tiny() -> Config {
    Config {
        segment_bytes_max: 700,
        index_rows_max: 6,
        prewrite_bytes: 200,
        start_check_bytes_max: u64::MAX,
        create: true,
        salt: SALT,
        owner: OWNER,
    }
}

/// A disk that holds these files of the log, synced.
pub fn disk_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(&dir()).expect("an empty disk");
    for (name, bytes) in files {
        let file = disk.open(&dir().join(name), OpenMode::CreateNew).expect("names differ");
        file.write_all_at(bytes, 0).expect("no fault is injected");
        file.sync_data().expect("no fault is injected");
    }
    disk.sync_dir(&dir()).expect("no fault is injected");
    disk
}

/// Everything there is to see of an open log; damage is nothing to see.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub entries: Vec<Option<Entry>>,
    /// From the first one kept.
    pub records: Vec<Option<Record>>,
    pub recovered: Recovered,
}

/// Opens the log and reads it, and does so again behind a crash or a power loss, and once more after an
/// append. `None` if it was refused: then nothing was changed, and `verify` says damage, too.
pub fn settle(disk: &SimDisk, config: &Config, power_loss: Option<u64>) -> Option<Seen> {
    let whole = config.start_check_bytes_max == u64::MAX;
    let files = contents(disk);
    let report = verify(disk, &dir()).expect("every byte can be read");
    assert_eq!(contents(disk), files, "verify changed the disk");
    let opened = match reopen(disk, config) {
        Ok(opened) => opened,
        Err(OpenError::Damaged(_) | OpenError::DamagedFile { .. }) => {
            assert!(!report.is_sound(), "refused, and sound: {report:?}");
            assert_eq!(contents(disk), files, "a refused start changed the disk");
            return None;
        }
        Err(other) => panic!("{other}"),
    };
    let seen = look(&opened, whole);
    if whole {
        assert!(report.is_sound(), "opened, and damaged: {report:?}");
        assert_eq!(report.torn, opened.recovered.torn);
    }
    drop(opened);
    go_down(disk, power_loss);

    let mut again = reopen(disk, config).expect("it was open just now");
    // A batch header whose frames were cut stays torn until something is written behind it.
    let torn = again.recovered.torn.clone();
    let place = |torn: &Option<Torn>| torn.as_ref().map(|torn| (torn.file.clone(), torn.position));
    assert!(torn.is_none() || place(&torn) == place(&seen.recovered.torn), "{torn:?}");
    let mut recovered = Recovered { torn, ..seen.recovered.clone() };
    if !whole {
        // The first start may have read more segments, for a missing state, and so known more as committed.
        recovered.committed = again.recovered.committed;
        recovered.checkpoint = again.recovered.checkpoint.clone();
    }
    let kept = Seen { recovered, ..seen };
    assert_eq!(look(&again, whole), kept);
    if whole {
        let report = verify(disk, &dir()).expect("every byte can be read");
        assert!(report.is_sound() && report.torn == again.recovered.torn, "open, and damaged: {report:?}");
    }
    if again.writer.next_batch + 2 > NUMBER_MAX {
        // Two appends on, and a start would refuse what no log gets to.
        return Some(Seen { recovered: seen.recovered, ..kept });
    }
    let entry = next_entry(&again);
    again.writer.write(std::slice::from_ref(&entry)).expect("no fault is injected");
    again.writer.sync().expect("no fault is injected");
    again.writer.seal().expect("no fault is injected");
    drop(again);
    go_down(disk, power_loss);

    let longer = look(&reopen(disk, config).expect("it was open just now"), whole);
    assert_eq!(longer.entries[..kept.entries.len()], kept.entries);
    assert_eq!(longer.records[..kept.records.len()], kept.records);
    assert_eq!(longer.recovered.torn, None);
    let last = longer.entries.last().expect("just appended").as_ref().expect("it is sound");
    assert_eq!((last.id, &last.payload), (entry.id, &entry.payload));
    Some(Seen { recovered: seen.recovered, ..kept })
}

fn reopen(disk: &SimDisk, config: &Config) -> Result<Opened, OpenError> {
    open(Arc::new(disk.clone()), &dir(), config.clone())
}

fn go_down(disk: &SimDisk, power_loss: Option<u64>) {
    power_loss.map_or_else(|| disk.crash_process(), |seed| disk.power_loss(seed));
}

fn contents(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    disk.paths().into_iter().map(|path| (path.clone(), disk.cached_bytes(&path))).collect()
}

fn next_entry(opened: &Opened) -> Entry {
    let last = opened.writer.last().unwrap_or_default();
    let id = EntryId { term: last.term, index: opened.reader.next_index() };
    let payload = RecordBatch::from(vec![Bytes::from_static(b"one more")]).encode();
    Entry { id, kind: Kind::Records, time_ms: 0, payload }
}

/// `whole`: every segment was checked at the start, so that nothing damaged can be met.
fn look(opened: &Opened, whole: bool) -> Seen {
    let Opened { writer, reader, recovered } = opened;
    let fold: &Checkpoint = &writer.fold;
    let tolerate = |error: ReadError| match error {
        ReadError::Damaged(_) if !whole => (),
        other => panic!("{other}"),
    };
    let (first_index, next_index) = (reader.first_index(), reader.next_index());
    assert_eq!((next_index, recovered.last), (fold.next_index(), fold.last));
    let entry = |index| match reader.entries(index, index + 1, 1) {
        Ok(entries) => {
            assert_eq!((entries.len(), entries[0].id.index), (1, index));
            entries.into_iter().next()
        }
        Err(error) => {
            tolerate(error);
            None
        }
    };
    let entries: Vec<_> = if whole {
        let all = reader.entries(first_index, next_index, usize::MAX).expect("all was checked");
        assert_eq!(all.len() as u64, next_index - first_index);
        let (some, last) = (all.len() / 2, all.len().saturating_sub(1));
        for at in [0, some, last].into_iter().filter(|at| *at < all.len()) {
            assert_eq!(entry(first_index + at as u64).as_ref(), Some(&all[at]));
        }
        all.into_iter().map(Some).collect()
    } else {
        (first_index..next_index).map(entry).collect()
    };
    let (first_offset, end_offset) = (reader.first_offset_kept(), fold.state.next_offset);
    let record = |offset| match reader.records(offset, end_offset, 1, usize::MAX) {
        Ok(records) => {
            assert!(!whole || records.len() == 1, "record {offset} of {first_offset}..{end_offset}");
            records.into_iter().next().inspect(|record| assert_eq!(record.offset, offset))
        }
        Err(error) => {
            tolerate(error);
            None
        }
    };
    let records: Vec<_> = if whole {
        let all = reader.records(first_offset, end_offset, usize::MAX, usize::MAX).expect("all was checked");
        assert_eq!(all.len() as u64, end_offset - first_offset);
        let (some, last) = (all.len() / 2, all.len().saturating_sub(1));
        for at in [0, some, last].into_iter().filter(|at| *at < all.len()) {
            assert_eq!(record(first_offset + at as u64).as_ref(), Some(&all[at]));
        }
        for time_ms in [0, 1, fold.state.time_ms / 2, fold.state.time_ms, u64::MAX] {
            let wanted = all.iter().find(|record| record.append_time_ms >= time_ms).map(|record| record.offset);
            let found = reader.offset_at(time_ms, end_offset).expect("all was checked");
            assert_eq!(found, wanted.unwrap_or(end_offset), "the first record at or after {time_ms}");
        }
        all.into_iter().map(Some).collect()
    } else {
        (first_offset..end_offset).take(RECORDS_MAX).map(record).collect()
    };
    assert!(recovered.committed <= recovered.last && recovered.checkpoint.last <= recovered.committed);
    Seen { entries, records, recovered: recovered.clone() }
}

/// The files of the log, by name.
pub fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8").to_owned();
    disk.paths().into_iter().map(|path| (name(&path), disk.cached_bytes(&path).unwrap_or_default())).collect()
}
