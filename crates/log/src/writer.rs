//! Writing: batches, and what keeps at most one of them unsynced.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::encode::{self, Place};
use crate::entry::{Entry, EntryId};
use crate::error::WriteError;
use crate::layout::{BATCH_HEADER_BYTES, FRAME_HEADER_BYTES, padded};
use crate::reader::Shared;
use crate::segment::Segment;
use seedlog_runtime::disk::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The exclusive owner of the log's files. Every method is blocking work. After an error the log is
/// closed for writing: the same error comes back for whatever is asked next.
pub struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) active: Arc<Segment>,
    /// Where the next batch goes.
    pub(crate) end: u64,
    /// Length of the active store, with the zeros written ahead.
    pub(crate) allocated: u64,
    /// The speculative fold: run ahead to the log's end, it stamps offsets, counts and times.
    pub(crate) fold: Checkpoint,
    pub(crate) next_batch: u64,
    pub(crate) synced: Option<u64>,
    pub(crate) committed: Option<u64>,
    /// A batch was written and not yet synced.
    pub(crate) dirty: bool,
    /// The last batch has nothing behind it that would show damage in it.
    pub(crate) unsealed: bool,
    pub(crate) failed: Option<WriteError>,
}

/// Batches up to this size have their space written ahead; for larger ones that would only double
/// the bytes.
const PREWRITE_BATCH_BYTES_MAX: usize = 64 << 10;

impl Writer {
    /// Writes `entries` as one batch, into the page cache; first opens a new segment if they do not
    /// fit. Readers see them at once.
    ///
    /// # Errors
    /// As described at [`Writer`].
    ///
    /// # Panics
    /// If the batch before was not synced: what recovery concludes rests on it.
    pub fn write(&mut self, entries: &[Entry]) -> Result<(), WriteError> {
        self.check()?;
        assert!(!self.dirty, "batch {} issued before the one before it was synced", self.next_batch);
        if entries.is_empty() {
            return self.check();
        }
        self.guard(|writer| {
            writer.roll_unless_fits(entries)?;
            writer.write_batch(entries)
        })
    }

    /// Makes the batch written last durable.
    ///
    /// # Errors
    /// As described at [`Writer`]. A failed sync is final: what it should have made durable may be
    /// lost although a second sync would say otherwise.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.guard(|writer| {
            writer.active.file.sync_data().map_err(io_at("sync", &writer.active.store_path))?;
            writer.dirty = false;
            writer.synced = writer.fold.last.map(|last| last.index);
            Ok(())
        })
    }

    /// Writes and syncs an empty batch, so that damage in the last batch of data can be told from a
    /// torn tail.
    ///
    /// # Errors
    /// As described at [`Writer`].
    pub fn seal(&mut self) -> Result<(), WriteError> {
        self.check()?;
        assert!(!self.dirty, "sealed before the batch was synced");
        self.guard(|writer| writer.write_batch(&[]))?;
        self.sync()?;
        self.unsealed = false;
        Ok(())
    }

    /// Whether [`Writer::seal`] would add protection.
    pub fn unsealed(&self) -> bool {
        self.unsealed
    }

    /// Notes the committed index; it becomes durable with the next batch, never ahead of its entries.
    pub fn set_committed(&mut self, index: u64) {
        self.committed = self.committed.max(Some(index));
    }

    /// Id of the last entry written.
    pub fn last(&self) -> Option<EntryId> {
        self.fold.last
    }

    /// Index of the last entry known to be durable.
    pub fn synced(&self) -> Option<u64> {
        self.synced
    }

    pub(crate) fn check(&self) -> Result<(), WriteError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Runs a step unless one failed before; its error is the last one there will be.
    pub(crate) fn guard<R>(
        &mut self,
        step: impl FnOnce(&mut Writer) -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        self.check()?;
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn roll_unless_fits(&mut self, entries: &[Entry]) -> Result<(), WriteError> {
        let frames: usize = entries.iter().map(|entry| FRAME_HEADER_BYTES + padded(entry.payload.len())).sum();
        let end = self.end + (BATCH_HEADER_BYTES + frames) as u64;
        let rows = self.active.written() as usize + entries.len();
        let fits = end <= self.config.segment_bytes_max && rows <= self.active.index.rows() as usize;
        // An empty segment takes a batch of any size, as long as it has the rows.
        if fits || (self.active.written() == 0 && rows <= self.active.index.rows() as usize) {
            return Ok(());
        }
        self.roll(self.config.index_rows_max.max(entries.len() as u32))
    }

    /// Closes the active segment and opens the next one, with room for `rows` entries.
    pub(crate) fn roll(&mut self, rows: u32) -> Result<(), WriteError> {
        let old = self.active.clone();
        if old.written() == 0 {
            // Nothing in it yet, only too few rows: the same segment again, with a longer index.
            return self.replace_active(rows);
        }
        // Give back what was written ahead. Every batch is synced by now; the length need not be.
        old.file.set_len(self.end).map_err(io_at("truncate", &old.store_path))?;
        old.index.flush().map_err(io_at("flush the index of", &old.store_path))?;
        let segment = Segment::create(&*self.disk, &self.dir, &self.fold, &self.config, rows)
            .map_err(io_at("open a new segment in", &self.dir))?;
        let active = Arc::new(segment);
        self.shared.change(|segments| segments.push(active.clone()));
        self.use_fresh(active);
        Ok(())
    }

    fn replace_active(&mut self, rows: u32) -> Result<(), WriteError> {
        let segment = Segment::assemble(&*self.disk, &self.dir, self.active.header(), self.active.before.clone(), rows)
            .map_err(io_at("reopen", &self.active.store_path))?;
        let active = Arc::new(segment);
        self.shared.change(|segments| {
            segments.pop();
            segments.push(active.clone());
        });
        self.active = active;
        Ok(())
    }

    /// Makes a segment without entries the one that is written to.
    pub(crate) fn use_fresh(&mut self, active: Arc<Segment>) {
        self.end = crate::layout::STORE_HEADER_BYTES;
        self.allocated = self.end;
        self.active = active;
    }

    fn write_batch(&mut self, entries: &[Entry]) -> Result<(), WriteError> {
        let place = Place {
            salt: self.active.salt,
            position: self.end,
            number: self.next_batch,
            committed: self.committed.min(self.synced),
        };
        // In place: an error ends the writer anyway.
        let (bytes, rows) = encode::batch(&place, &mut self.fold, entries)?;
        let store = &self.active;
        let end = self.end + bytes.len() as u64;
        if self.config.prewrite_bytes > 0 && end > self.allocated && bytes.len() <= PREWRITE_BATCH_BYTES_MAX {
            let ahead = (end + self.config.prewrite_bytes).min(self.config.segment_bytes_max.max(end));
            match store.file.allocate(ahead) {
                Ok(()) => self.allocated = ahead,
                // Only an optimisation: the batch itself will say so if there is no room for it either.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(io_at("write ahead in", &store.store_path)(error)),
            }
        }
        store.file.write_all_at(&bytes, self.end).map_err(io_at("write", &store.store_path))?;
        let written = store.written();
        for (at, row) in rows.iter().enumerate() {
            store.index.put(written + at as u32, *row);
        }
        store.publish(written + rows.len() as u32);
        self.end = end;
        self.allocated = self.allocated.max(end);
        self.next_batch += 1;
        self.dirty = true;
        self.unsealed |= !entries.is_empty();
        Ok(())
    }
}

pub(crate) fn io_at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    move |error| WriteError::Io { what, path: path.to_owned(), error: Arc::new(error) }
}
