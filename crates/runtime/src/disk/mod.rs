//! The disk seam: every byte the product keeps goes through [`Disk`], [`File`] and [`Map`].
//!
//! All calls are synchronous; callers run them inside [`crate::blocking`]. Two implementations pass
//! one contract suite (`tests/disk_contract.rs`): [`RealDisk`] and [`SimDisk`].

use std::io;
use std::path::Path;
use std::sync::Arc;

mod error;
mod real;
pub mod sim;

pub use error::DiskError;
pub use real::{RealDisk, raise_open_files_max};
pub use sim::SimDisk;

/// How [`Disk::open`] treats a file that is, or is not, there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; writing to it is an error.
    Read,
    /// The file must exist.
    ReadWrite,
    /// The file must not exist (`AlreadyExists` otherwise). The new name is not durable until
    /// [`Disk::sync_dir`] of its parent.
    CreateNew,
}

/// A directory tree. Paths are absolute; names are UTF-8.
pub trait Disk: Send + Sync + 'static {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Moves a file to another name in the same directory (`CrossesDevices` otherwise) and replaces
    /// what has that name. Atomic, not durable until `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Not durable until `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the files and directories directly in `dir`, sorted. `NotFound` if it is not there.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Creates the directory and its missing parents, durably (each parent is synced, also that of
    /// a directory found: who created it may have died before the sync).
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes creates, renames and removes in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the advisory lock on the file at `path` (created if missing); held until the guard is
    /// dropped or the process dies. `WouldBlock` if somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// Maps the first `len` bytes of an existing file, read and write. The file must be at least
    /// `len` long, and must not shrink while it is mapped.
    fn map(&self, path: &Path, len: usize) -> io::Result<Arc<dyn Map>>;
    /// Bytes that can still be written on the file system that holds `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Positions are bytes from its start.
pub trait File: Send + Sync + 'static {
    /// Reads at most `buf.len()` bytes; 0 at or past the end.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at most `buf.len()` bytes, at least one unless `buf` is empty; extends the file (the
    /// gap reads as zeros). Short writes happen.
    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<usize>;
    /// fdatasync: bytes and length are durable when this returns `Ok`. After an error nothing
    /// unsynced may be assumed durable, ever: do not retry.
    fn sync_data(&self) -> io::Result<()>;
    /// Truncates or extends with zeros. Durable at the next `sync_data`.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Writes zeros from the end of the file up to `len` (never shrinks), so that later writes
    /// below `len` do not grow it. Durable at the next `sync_data`.
    fn allocate(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// `UnexpectedEof` if the file ends first.
    fn read_exact_at(&self, mut buf: &mut [u8], mut position: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, position)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buf = &mut buf[n..];
                    position += n as u64;
                }
            }
        }
        Ok(())
    }

    fn write_all_at(&self, mut buf: &[u8], mut position: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, position)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    buf = &buf[n..];
                    position += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// A mapped region of fixed size. A caller publishes what it wrote itself: reading a range that
/// another thread writes at the same time gives unspecified bytes.
pub trait Map: Send + Sync + 'static {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// # Panics
    /// If the range is not inside the map: a bug of the caller.
    fn read(&self, position: usize, buf: &mut [u8]);
    /// # Panics
    /// If the range is not inside the map: a bug of the caller.
    fn write(&self, position: usize, bytes: &[u8]);
    /// msync: what was written before is durable when this returns `Ok`.
    fn flush(&self) -> io::Result<()>;
}

/// Guard of [`Disk::lock`].
pub trait Lock: Send + Sync {}
