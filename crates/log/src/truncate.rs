//! Taking back entries that were never committed, durably.

use crate::error::{ReadError, WriteError};
use crate::scan::{Scan, read_whole, scan};
use crate::segment::{Segment, path};
use crate::writer::{Writer, io_at};
use std::sync::Arc;

impl Writer {
    /// Removes the entry at `index` and all behind it; durable on return. Nothing to do past the end.
    ///
    /// # Errors
    /// As described at [`Writer`]; [`WriteError::Purged`] if the log starts behind `index`.
    ///
    /// # Panics
    /// If a batch was not synced: a batch never spans a truncation.
    pub fn truncate_from(&mut self, index: u64) -> Result<(), WriteError> {
        self.check()?;
        assert!(!self.dirty, "truncated before the batch was synced");
        self.guard(|writer| writer.truncate(index))
    }

    fn truncate(&mut self, index: u64) -> Result<(), WriteError> {
        if index >= self.fold.next_index() {
            return Ok(());
        }
        let segments = self.shared.list();
        let first_index = segments[0].first_index;
        if index < first_index {
            return Err(WriteError::Purged { index, first_index });
        }
        let kept = segments.partition_point(|segment| segment.first_index <= index);
        // Before anything goes: of a segment that is damaged the next one tells where it ended, and nothing else may.
        let scan = sound_up_to(&segments[kept - 1], index)?;
        // Readers must not find what is going away.
        self.shared.change(|segments| segments.truncate(kept));
        let last = segments[kept - 1].clone();
        last.publish((index - last.first_index) as u32);
        // Back to front, and each step durable before the next: a crash leaves no hole. The state goes
        // before its store, since a state without a store means that a store was lost.
        for segment in segments[kept..].iter().rev() {
            self.remove(segment.first_index, &["state", "index"])?;
            self.remove(segment.first_index, &["store"])?;
        }
        self.cut(&last, index, scan)
    }

    /// Removes files of a segment, durably. One that is already gone is fine.
    pub(crate) fn remove(&self, first_index: u64, extensions: &[&str]) -> Result<(), WriteError> {
        for extension in extensions {
            let file = path(&self.dir, first_index, extension);
            match self.disk.remove(&file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(io_at("remove", &file))?,
            }
        }
        self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))
    }

    /// Ends the segment before `index`, makes it the active one, and folds again up to there.
    fn cut(&mut self, segment: &Arc<Segment>, index: u64, scan: Scan) -> Result<(), WriteError> {
        let entries = index - segment.first_index;
        // A header left with fewer frames than it says is fine: the next batch takes over where it stops.
        segment.file.set_len(scan.end).map_err(io_at("truncate", &segment.store_path))?;
        segment.file.sync_data().map_err(io_at("sync", &segment.store_path))?;
        let rows = self.config.index_rows_max.max(entries as u32 + 1);
        let reopened =
            if segment.index.rows() < rows { Some(self.with_rows(segment, rows, &scan.rows)?) } else { None };
        let active = reopened.unwrap_or_else(|| segment.clone());
        active.publish(entries as u32);
        self.shared.change(|segments| {
            segments.pop();
            segments.push(active.clone());
        });
        self.active = active;
        self.end = scan.end;
        self.allocated = scan.end;
        self.fold = scan.after;
        self.synced = self.fold.last.map(|last| last.index);
        self.unsealed = true;
        Ok(())
    }

    /// The same segment with a longer index: a closed one is mapped only as far as it is used.
    fn with_rows(&self, segment: &Segment, rows: u32, known: &[crate::index::Row]) -> Result<Arc<Segment>, WriteError> {
        let longer = Segment::assemble(&*self.disk, &self.dir, segment.header(), segment.before.clone(), rows)
            .map_err(io_at("reopen", &segment.store_path))?;
        longer.correct_rows(known);
        Ok(Arc::new(longer))
    }
}

/// What the store says of its entries before `index`.
fn sound_up_to(segment: &Segment, index: u64) -> Result<Scan, WriteError> {
    let bytes = read_whole(&*segment.file).map_err(|e| io_at("read", &segment.store_path)(e.error))?;
    let scan = scan(&bytes, segment.salt, &segment.before, Some(index - segment.first_index));
    if scan.after.next_index() == index {
        return Ok(scan);
    }
    Err(WriteError::Read(ReadError::Damaged(crate::Damage {
        file: segment.store_path.clone(),
        position: scan.end,
        what: scan.bad.map_or("entries are missing", |bad| bad.what),
        first_index: scan.after.next_index(),
        next_index: None,
        first_offset: scan.after.state.next_offset,
        next_offset: None,
    })))
}
