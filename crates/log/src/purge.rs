//! Freeing segments from the front, and starting anew behind a snapshot.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{OpenError, WriteError};
use crate::reader::Reader;
use crate::segment::{Segment, parse_name};
use crate::small_file;
use crate::writer::{Writer, io_at};
use seedlog_runtime::disk::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const START_MAGIC: [u8; 8] = *b"SLSTART2";
/// Of a `start` that has nothing but the first index, and a checkpoint only while that is installed.
const START_MAGIC_1: [u8; 8] = *b"SLSTART1";

/// What the file `start` says. Without it nobody could tell a purged segment from a lost one.
///
/// ```text
/// | 1 while the log is started anew, else 0: u8 | the checkpoint before the log's first entry |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// Files of segments before this one are leftovers of a purge.
    pub first_index: u64,
    /// What the first segment's state says, too: what came before it is nowhere any more. `None` in a file of version 1.
    pub before: Option<Checkpoint>,
    /// Every segment's file is a leftover: the log is being started anew behind `before`.
    pub installing: bool,
}

pub(crate) fn start_path(dir: &Path) -> PathBuf {
    dir.join("start")
}

impl Start {
    pub fn new(before: Checkpoint, installing: bool) -> Start {
        Start { first_index: before.next_index(), before: Some(before), installing }
    }

    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Start>, OpenError> {
        let path = start_path(dir);
        let of_2 = small_file::read(disk, &path, START_MAGIC);
        let (body, of_1) = match of_2 {
            Err(OpenError::DamagedFile { .. }) => match small_file::read(disk, &path, START_MAGIC_1) {
                Ok(body) => (body, true),
                // Then it is of no version.
                Err(_) => (of_2?, false),
            },
            body => (body?, false),
        };
        let Some(body) = body else { return Ok(None) };
        let decoded = if of_1 { Start::decode_1(&body) } else { Start::decode(&body) };
        decoded.map(Some).ok_or(OpenError::DamagedFile { path, what: "it does not decode" })
    }

    fn decode(body: &[u8]) -> Option<Start> {
        let (installing, checkpoint) = body.split_first()?;
        let before = Checkpoint::decode(checkpoint).ok()?;
        (*installing <= 1).then(|| Start::new(before, *installing == 1))
    }

    fn decode_1(body: &[u8]) -> Option<Start> {
        let (first, rest) = body.split_first_chunk::<8>()?;
        let before = if rest.is_empty() { None } else { Some(Checkpoint::decode(rest).ok()?) };
        let installing = before.is_some();
        Some(Start { first_index: u64::from_le_bytes(*first), before, installing })
    }

    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let checkpoint = self.before.as_ref().expect("only what was read may be without").encode();
        let body = [&[u8::from(self.installing)], &checkpoint[..]].concat();
        small_file::replace(disk, &start_path(dir), START_MAGIC, &body)
    }
}

/// Carries out what `start` announces: removes every segment and opens the first one behind the
/// checkpoint. May be repeated from the beginning after a crash anywhere in it.
pub(crate) fn start_anew(disk: &dyn Disk, dir: &Path, checkpoint: &Checkpoint, config: &Config) -> io::Result<Segment> {
    for name in disk.list(dir)? {
        if parse_name(&name).is_some() {
            disk.remove(&dir.join(name))?;
        }
    }
    disk.sync_dir(dir)?;
    let segment = Segment::create(disk, dir, checkpoint, config, config.index_rows_max)?;
    Start::new(checkpoint.clone(), false).write(disk, dir)?;
    Ok(segment)
}

impl Writer {
    /// Frees the segments all of whose entries are at or below `upto_index`; never the active one.
    ///
    /// # Errors
    /// As described at [`Writer`].
    pub fn purge(&mut self, upto_index: u64) -> Result<(), WriteError> {
        self.guard(|writer| {
            let segments = writer.shared.list();
            let freed = segments[1..].iter().take_while(|next| next.first_index <= upto_index + 1).count();
            if freed == 0 {
                return Ok(());
            }
            let start = Start::new(segments[freed].before.clone(), false);
            start.write(&*writer.disk, &writer.dir).map_err(io_at("write", &start_path(&writer.dir)))?;
            writer.shared.change(|segments| drop(segments.drain(..freed)));
            for segment in &segments[..freed] {
                writer.remove(segment.first_index, &["state", "index", "store"])?;
            }
            Ok(())
        })
    }

    /// Makes the log start behind `checkpoint`, as a snapshot from a leader demands. Nothing to do if
    /// the log already holds the checkpoint's last entry or starts behind it; else everything goes.
    ///
    /// # Errors
    /// As described at [`Writer`].
    ///
    /// # Panics
    /// If a batch was not synced.
    pub fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        self.check()?;
        assert!(!self.dirty, "installed before the batch was synced");
        self.guard(|writer| {
            let first_index = checkpoint.next_index();
            if first_index <= writer.shared.list()[0].first_index || writer.holds(checkpoint)? {
                return Ok(());
            }
            let start = Start::new(checkpoint.clone(), true);
            start.write(&*writer.disk, &writer.dir).map_err(io_at("write", &start_path(&writer.dir)))?;
            let segment = start_anew(&*writer.disk, &writer.dir, checkpoint, &writer.config)
                .map_err(io_at("start the log anew in", &writer.dir))?;
            let active = Arc::new(segment);
            writer.shared.change(|segments| *segments = vec![active.clone()]);
            writer.use_fresh(active);
            writer.fold = checkpoint.clone();
            writer.synced = checkpoint.last.map(|last| last.index);
            writer.committed = writer.committed.max(writer.synced);
            Ok(())
        })
    }

    /// Whether the log holds the very entry that the checkpoint ends with.
    fn holds(&self, checkpoint: &Checkpoint) -> Result<bool, WriteError> {
        let Some(last) = checkpoint.last else { return Ok(true) };
        let reader = Reader { shared: self.shared.clone() };
        let entries = reader.entries(last.index, last.index + 1, 1)?;
        Ok(entries.first().is_some_and(|entry| entry.id == last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryId;
    use seedlog_runtime::disk::SimDisk;

    #[test]
    fn a_start_of_either_version_is_read_and_nothing_else() {
        let (disk, dir) = (SimDisk::new(0), Path::new("/"));
        let checkpoint = Checkpoint { last: Some(EntryId { term: 3, index: 6 }), ..Checkpoint::default() };
        assert_eq!(Start::read(&disk, dir).unwrap(), None);
        for installing in [false, true] {
            let start = Start::new(checkpoint.clone(), installing);
            start.write(&disk, dir).unwrap();
            assert_eq!(Start::read(&disk, dir).unwrap(), Some(start));
        }
        let mut old = 7u64.to_le_bytes().to_vec();
        small_file::replace(&disk, &start_path(dir), START_MAGIC_1, &old).unwrap();
        let kept = Start { first_index: 7, before: None, installing: false };
        assert_eq!(Start::read(&disk, dir).unwrap(), Some(kept));
        old.extend_from_slice(&checkpoint.encode());
        small_file::replace(&disk, &start_path(dir), START_MAGIC_1, &old).unwrap();
        assert_eq!(Start::read(&disk, dir).unwrap(), Some(Start::new(checkpoint, true)));
        for body in [&b""[..], b"\x02", b"\x01123"] {
            small_file::replace(&disk, &start_path(dir), START_MAGIC, body).unwrap();
            let refused = Start::read(&disk, dir).unwrap_err().to_string();
            assert!(refused.contains("/start: it does not decode"), "{refused}");
        }
        disk.corrupt(&start_path(dir), 15, 1);
        let refused = Start::read(&disk, dir).unwrap_err().to_string();
        assert!(refused.contains("checksum"), "{refused}");
    }
}
