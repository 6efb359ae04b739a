//! A store written anew beside the damaged one, from what is left of it and from copies.

use crate::checkpoint::Checkpoint;
use crate::encode::{self, Place};
use crate::entry::Entry;
use crate::error::OpenError;
use crate::index::Row;
use crate::layout::{STORE_HEADER_BYTES, StoreHeader, crc32c};
use crate::salvage::Salvage;
use crate::segment::path;
use crate::small_file;
use seedlog_runtime::disk::{Disk, File, OpenMode};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Payload in one batch of it, about.
const BATCH_BYTES: usize = 1 << 20;

/// What the new store is made of.
pub(crate) struct Sources<'a> {
    pub header: StoreHeader,
    /// The fold before its first entry.
    pub before: &'a Checkpoint,
    pub left: &'a Salvage,
    pub copies: &'a BTreeMap<u64, Entry>,
    pub indexes: Range<u64>,
    /// What is known to follow: the fold after its last entry.
    pub after: Option<&'a Checkpoint>,
}

/// A store that lies, durable, beside the one it is to replace.
pub(crate) struct Written {
    temporary: PathBuf,
    store: PathBuf,
    /// The fold after its last entry.
    pub after: Checkpoint,
    /// Of its index.
    pub rows: Vec<Row>,
}

impl Sources<'_> {
    /// Writes and syncs the new store. It is what the old one was: each entry is held against the stamps and
    /// checksums that are left of it, and the last against the state behind it.
    ///
    /// # Errors
    /// [`OpenError::BadCopy`] if a copy is not the entry that was there; then, as after [`OpenError::Io`], nothing but
    /// a temporary file is left.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<Written, OpenError> {
        let store = path(dir, self.header.first_index, "store");
        let temporary = small_file::temporary_path(&store);
        let io = |what, error| OpenError::Io { what, path: temporary.clone(), error };
        let file = create(disk, &temporary).map_err(|error| io("create", error))?;
        let (after, rows) = self.write_to(&*file, &store)?;
        file.sync_data().map_err(|error| io("sync", error))?;
        if self.after.is_some_and(|wanted| *wanted != after) {
            return Err(bad_copy(&store, self.indexes.clone(), "the state behind them is not what they give"));
        }
        Ok(Written { temporary, store, after, rows })
    }

    fn write_to(&self, file: &dyn File, store: &Path) -> Result<(Checkpoint, Vec<Row>), OpenError> {
        let io = |error| OpenError::Io { what: "write", path: store.to_owned(), error };
        file.write_all_at(&self.header.encode(), 0).map_err(io)?;
        let mut fold = self.before.clone();
        let mut all_rows = Vec::new();
        let mut place = Place {
            salt: self.header.salt,
            position: STORE_HEADER_BYTES,
            // Behind all that were ever used in this store: for the one that is written to, numbers go on from here.
            number: self.left.number + 1,
            committed: self.left.committed,
        };
        let mut index = self.indexes.start;
        while index < self.indexes.end {
            let mut entries = Vec::new();
            let mut bytes = 0;
            while index < self.indexes.end && bytes < BATCH_BYTES {
                let entry = self.entry(index).ok_or_else(|| bad_copy(store, index..index + 1, "there is none"))?;
                bytes += entry.payload.len();
                entries.push(entry);
                index += 1;
            }
            let first = entries.first().map_or(index, |entry| entry.id.index);
            let mut check = fold.clone();
            let bad = |_| bad_copy(store, first..index, "they do not follow what is before them");
            let (bytes, rows) = encode::batch(&place, &mut fold, &entries).map_err(bad)?;
            all_rows.extend(rows);
            self.check(&mut check, &entries, store)?;
            file.write_all_at(&bytes, place.position).map_err(io)?;
            place.position += bytes.len() as u64;
            place.number += 1;
        }
        // So that damage in the last batch of it shows.
        let (seal, _) = encode::batch(&place, &mut fold, &[]).expect("an empty batch always fits");
        file.write_all_at(&seal, place.position).map_err(io)?;
        Ok((fold, all_rows))
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        let left = self.left.frames.get(&index).map(|frame| frame.clone().into_entry());
        left.or_else(|| self.copies.get(&index).cloned())
    }

    /// Holds the entries against what is left of their headers.
    fn check(&self, fold: &mut Checkpoint, entries: &[Entry], store: &Path) -> Result<(), OpenError> {
        for entry in entries {
            let index = entry.id.index;
            let first_offset = fold.state.next_offset;
            let outcome = fold.apply(entry).map_err(|_| bad_copy(store, index..index + 1, "it does not decode"))?;
            let same = self.left.header(index).is_none_or(|header| {
                header.id == entry.id
                    && header.kind == entry.kind
                    && header.payload_crc == crc32c(&entry.payload)
                    && header.first_offset == first_offset
                    && header.count == outcome.count()
                    && header.time_ms == fold.state.time_ms
            });
            if !same {
                return Err(bad_copy(store, index..index + 1, "it is not what its header says"));
            }
        }
        Ok(())
    }
}

impl Written {
    /// Puts it in the old one's place, durably, and takes away the index that belonged to that.
    ///
    /// # Errors
    /// Where the rename or the sync fails.
    pub fn replace(&self, disk: &dyn Disk) -> io::Result<()> {
        match disk.remove(&self.store.with_extension("index")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        disk.rename(&self.temporary, &self.store)?;
        disk.sync_dir(self.store.parent().unwrap_or(Path::new("/")))
    }
}

fn create(disk: &dyn Disk, temporary: &Path) -> io::Result<Arc<dyn File>> {
    if disk.exists(temporary)? {
        disk.remove(temporary)?;
    }
    disk.open(temporary, OpenMode::CreateNew)
}

fn bad_copy(store: &Path, indexes: Range<u64>, what: &'static str) -> OpenError {
    OpenError::BadCopy { path: store.to_owned(), from: indexes.start, to: indexes.end, what }
}
