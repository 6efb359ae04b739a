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

const START_MAGIC: [u8; 8] = *b"SLSTART1";

/// What the file `start` says. Without it nobody could tell a purged segment from a lost one.
///
/// ```text
/// | first index u64 | a checkpoint, while its installation is under way; else nothing |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// Files of segments before this one are leftovers of a purge.
    pub first_index: u64,
    /// Set while the log is being started anew: every segment's file is a leftover then.
    pub installing: Option<Checkpoint>,
}

pub(crate) fn start_path(dir: &Path) -> PathBuf {
    dir.join("start")
}

impl Start {
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Start>, OpenError> {
        let path = start_path(dir);
        let Some(body) = small_file::read(disk, &path, START_MAGIC)? else { return Ok(None) };
        let damaged = || OpenError::DamagedFile { path: path.clone(), what: "it does not decode" };
        let (first, rest) = body.split_first_chunk::<8>().ok_or_else(damaged)?;
        let installing = if rest.is_empty() { None } else { Some(Checkpoint::decode(rest).map_err(|_| damaged())?) };
        Ok(Some(Start { first_index: u64::from_le_bytes(*first), installing }))
    }

    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut body = self.first_index.to_le_bytes().to_vec();
        if let Some(checkpoint) = &self.installing {
            body.extend_from_slice(&checkpoint.encode());
        }
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
    Start { first_index: segment.first_index, installing: None }.write(disk, dir)?;
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
            let start = Start { first_index: segments[freed].first_index, installing: None };
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
            let start = Start { first_index, installing: Some(checkpoint.clone()) };
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
