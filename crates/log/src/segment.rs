//! One segment: its three files and what is known of them.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::data_dir::Identity;
use crate::error::{OpenError, ReadError};
use crate::index::{Index, Row};
use crate::layout::{STORE_HEADER_BYTES, StoreHeader};
use crate::scan::{self, Scan};
use crate::small_file;
use seedlog_runtime::disk::{Disk, File, OpenMode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const STATE_MAGIC: [u8; 8] = *b"SLSTATE1";

pub(crate) fn path(dir: &Path, first_index: u64, extension: &str) -> PathBuf {
    dir.join(format!("{first_index:020}.{extension}"))
}

/// `Some((first index, extension))` if the name is that of a segment's file.
pub(crate) fn parse_name(name: &str) -> Option<(u64, &str)> {
    let (stem, extension) = name.split_once('.')?;
    let digits = stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit());
    (digits && matches!(extension, "store" | "index" | "state")).then(|| Some((stem.parse().ok()?, extension)))?
}

pub(crate) struct Segment {
    pub first_index: u64,
    pub salt: u64,
    owner: Identity,
    /// The fold before the first entry: what `.state` says.
    pub before: Checkpoint,
    pub store_path: PathBuf,
    pub file: Arc<dyn File>,
    pub index: Index,
    /// Entries that may be read. Rows and frames below it are complete.
    written: AtomicU32,
}

impl Segment {
    /// Creates the files of a segment that starts after `before`, durably: store (with its header),
    /// then state. The order matters to recovery: a store without state can be completed, a state
    /// without store means that a store was lost.
    pub fn create(disk: &dyn Disk, dir: &Path, before: &Checkpoint, config: &Config, rows: u32) -> io::Result<Segment> {
        let first_index = before.next_index();
        let header = StoreHeader { first_index, salt: config.salt, owner: config.owner };
        let store_path = path(dir, first_index, "store");
        let temporary = small_file::temporary_path(&store_path);
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        disk.rename(&temporary, &store_path)?;
        disk.sync_dir(dir)?;
        write_state(disk, dir, before)?;
        Segment::assemble(disk, dir, header, before.clone(), rows)
    }

    /// Opens the files of a segment; nothing can be read from it until [`Segment::publish`].
    pub fn assemble(
        disk: &dyn Disk,
        dir: &Path,
        header: StoreHeader,
        before: Checkpoint,
        rows: u32,
    ) -> io::Result<Segment> {
        let store_path = path(dir, header.first_index, "store");
        Ok(Segment {
            first_index: header.first_index,
            salt: header.salt,
            owner: header.owner,
            before,
            file: disk.open(&store_path, OpenMode::ReadWrite)?,
            store_path,
            index: Index::open(disk, &path(dir, header.first_index, "index"), rows)?,
            written: AtomicU32::new(0),
        })
    }

    pub fn header(&self) -> StoreHeader {
        StoreHeader { first_index: self.first_index, salt: self.salt, owner: self.owner }
    }

    pub fn written(&self) -> u32 {
        self.written.load(Ordering::Acquire)
    }

    pub fn publish(&self, entries: u32) {
        assert!(entries <= self.index.rows(), "{entries} entries do not fit {} rows", self.index.rows());
        self.written.store(entries, Ordering::Release);
    }

    /// Index after the last readable entry.
    pub fn next_index(&self) -> u64 {
        self.first_index + u64::from(self.written())
    }

    /// Makes the rows say what the store says.
    pub fn correct_rows(&self, rows: &[Row]) {
        for (at, row) in rows.iter().enumerate().take(self.index.rows() as usize) {
            if self.index.get(at as u32) != *row {
                self.index.put(at as u32, *row);
            }
        }
    }

    /// Whether the file `.state` says what it should.
    pub fn state_is_there(&self, disk: &dyn Disk) -> bool {
        let found = small_file::read(disk, &self.store_path.with_extension("state"), STATE_MAGIC);
        matches!(found, Ok(Some(body)) if body == self.before.encode())
    }

    /// Length of the store.
    pub fn bytes(&self) -> Result<u64, ReadError> {
        let at = |error| ReadError::Io { path: self.store_path.clone(), position: 0, error: Arc::new(error) };
        self.file.len().map_err(at)
    }

    pub fn scan(&self) -> Result<Scan, scan::Unreadable> {
        Ok(scan::scan(&scan::read_whole(&*self.file)?, self.salt, &self.before, None))
    }
}

/// Makes the fold before a segment's first entry durable as its `.state`.
pub(crate) fn write_state(disk: &dyn Disk, dir: &Path, state: &Checkpoint) -> io::Result<()> {
    small_file::replace(disk, &path(dir, state.next_index(), "state"), STATE_MAGIC, &state.encode())
}

/// The header of a store, checked against the file's name.
pub(crate) fn read_store_header(disk: &dyn Disk, path: &Path, first_index: u64) -> Result<StoreHeader, OpenError> {
    let io = |error| OpenError::Io { what: "read", path: path.to_owned(), error };
    let file = disk.open(path, OpenMode::Read).map_err(io)?;
    let mut bytes = [0; STORE_HEADER_BYTES as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        result => result.map_err(io)?,
    }
    StoreHeader::decode(&bytes)
        .filter(|header| header.first_index == first_index)
        .ok_or(OpenError::DamagedFile { path: path.to_owned(), what: "its header is not the one written" })
}
