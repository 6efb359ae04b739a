//! The `.index` of a segment: a memory-mapped row per entry. A hint: nobody believes a row before the
//! frame it points at has said the same.
//!
//! ```text
//! row: | position in the store u64 | first offset u64 |   little endian
//! ```

use seedlog_runtime::disk::{Disk, Map, OpenMode};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) const ROW_BYTES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub position: u64,
    pub first_offset: u64,
}

pub(crate) struct Index {
    map: Arc<dyn Map>,
}

impl Index {
    /// Opens the file, or creates it, with room for `rows` rows; what it held stays.
    pub fn open(disk: &dyn Disk, path: &Path, rows: u32) -> io::Result<Index> {
        let bytes = rows.max(1) as usize * ROW_BYTES;
        let file = match disk.open(path, OpenMode::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open(path, OpenMode::CreateNew)?,
            file => file?,
        };
        // Written, not only made longer: a map of a hole dies of a full disk with SIGBUS, not with an error.
        file.allocate(bytes as u64)?;
        Ok(Index { map: disk.map(path, bytes)? })
    }

    pub fn rows(&self) -> u32 {
        (self.map.len() / ROW_BYTES) as u32
    }

    /// # Panics
    /// If `row` is not below [`Index::rows`].
    pub fn get(&self, row: u32) -> Row {
        let mut bytes = [0; ROW_BYTES];
        self.map.read(row as usize * ROW_BYTES, &mut bytes);
        let (position, first_offset) = bytes.split_at(8);
        Row {
            position: u64::from_le_bytes(position.try_into().expect("eight bytes")),
            first_offset: u64::from_le_bytes(first_offset.try_into().expect("eight bytes")),
        }
    }

    /// # Panics
    /// If `row` is not below [`Index::rows`].
    pub fn put(&self, row: u32, value: Row) {
        let mut bytes = [0; ROW_BYTES];
        bytes[..8].copy_from_slice(&value.position.to_le_bytes());
        bytes[8..].copy_from_slice(&value.first_offset.to_le_bytes());
        self.map.write(row as usize * ROW_BYTES, &bytes);
    }

    pub fn flush(&self) -> io::Result<()> {
        self.map.flush()
    }
}
