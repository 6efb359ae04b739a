//! The operating system's files. The one place in the product that calls `std::fs`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is what the ban points to")]

use super::error::{named, same_directory};
use super::{Disk, File, Lock, Map, OpenMode};
use memmap2::{MmapOptions, MmapRaw};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Zeros go out in steps of this size, so that pre-writing a segment never holds the disk for long.
const ALLOCATE_STEP_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    pub fn new() -> RealDisk {
        RealDisk
    }
}

/// A log keeps a file open for each of its segments, and the usual limit of 1024 files, which is there for
/// the sake of programs that use `select`, would end it at 64 GB: raises this process's to what it may be
/// raised to. Returns the limit that holds from now on.
pub fn raise_open_files_max() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for what the call fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is valid, and outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::ReadWrite => options.read(true).write(true),
            OpenMode::CreateNew => options.read(true).write(true).create_new(true),
        };
        let file = options.open(path).map_err(|error| named("open", path, error))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        same_directory(from, to).and_then(|()| fs::rename(from, to)).map_err(|error| named("rename", from, error))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(|error| named("remove", path, error))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name();
                names.push(name.into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?);
            }
            names.sort();
            Ok(names)
        };
        names().map_err(|error| named("list", dir, error))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path).map_err(|error| named("look for", path, error))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent();
        if dir.is_dir() {
            // A process that died between creating it and syncing the parent left it in the page
            // cache only. Its ancestors were synced before it was created.
            return parent.map_or(Ok(()), |parent| match self.sync_dir(parent) {
                Err(error) if is_not_ours(&error) => Ok(()),
                other => other,
            });
        }
        let parent = parent.ok_or_else(|| named("create directory", dir, io::ErrorKind::InvalidInput.into()))?;
        self.create_dir_all(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other.map_err(|error| named("create directory", dir, error))?,
        }
        self.sync_dir(parent)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let sync = || {
            let handle = fs::File::open(dir)?;
            if !handle.metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            handle.sync_all()
        };
        sync().map_err(|error| named("sync directory", dir, error))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let lock = || {
            let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.try_lock()?;
            Ok(RealLock { _file: file })
        };
        match lock() {
            Ok(lock) => Ok(Box::new(lock)),
            Err(error) => Err(named("lock", path, error)),
        }
    }

    fn map(&self, path: &Path, len: usize) -> io::Result<Arc<dyn Map>> {
        let map = || {
            let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
            // Touching a mapped page past the end of its file is a SIGBUS, not an error.
            if file.metadata()?.len() < len as u64 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            MmapOptions::new().len(len).map_raw(&file)
        };
        match map() {
            Ok(region) => Ok(Arc::new(RealMap { region, path: path.to_owned(), len })),
            Err(error) => Err(named("map", path, error)),
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let free = || {
            let path = CString::new(dir.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidFilename)?;
            let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
            // SAFETY: `path` is a NUL-terminated string and `stat` has room for what the call fills in.
            if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the call succeeded, so `stat` is filled in.
            let stat = unsafe { stat.assume_init() };
            // The types differ between platforms; on this one the conversion may be a no-op.
            #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
            Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
        };
        free().map_err(|error| named("free space of", dir, error))
    }
}

/// Where we may not write, nothing of ours waits for a sync.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        uninterrupted(|| self.file.read_at(buf, position)).map_err(|error| named("read", &self.path, error))
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<usize> {
        uninterrupted(|| self.file.write_at(buf, position)).map_err(|error| named("write", &self.path, error))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().map_err(|error| named("sync", &self.path, error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(|error| named("set length of", &self.path, error))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let zeros = vec![0; ALLOCATE_STEP_BYTES];
        let mut end = self.len()?;
        while end < len {
            let step = (len - end).min(ALLOCATE_STEP_BYTES as u64) as usize;
            end += self.write_at(&zeros[..step], end)? as u64;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let metadata = self.file.metadata().map_err(|error| named("length of", &self.path, error))?;
        Ok(metadata.len())
    }
}

/// A signal may interrupt a read or write that moved nothing yet; a sync is never repeated.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

struct RealLock {
    /// The lock goes when this is closed, by the drop or by the kernel.
    _file: fs::File,
}

impl Lock for RealLock {}

struct RealMap {
    region: MmapRaw,
    path: PathBuf,
    len: usize,
}

impl RealMap {
    /// Bytes as relaxed atomics: a reader that races a writer sees old or new bytes, never undefined
    /// behaviour. What callers move is rows of a few dozen bytes.
    fn cells(&self, position: usize, len: usize) -> &[AtomicU8] {
        let inside = position.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes at {position} of a map of {} bytes: {}", self.len, self.path.display());
        // SAFETY: the range is inside the mapping, which lives as long as `self`; the process reaches
        // it through atomics only, and `AtomicU8` has the size and alignment of a byte.
        unsafe { std::slice::from_raw_parts(self.region.as_mut_ptr().cast::<AtomicU8>().add(position), len) }
    }
}

impl Map for RealMap {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, position: usize, buf: &mut [u8]) {
        let cells = self.cells(position, buf.len());
        for (byte, cell) in buf.iter_mut().zip(cells) {
            *byte = cell.load(Ordering::Relaxed);
        }
    }

    fn write(&self, position: usize, bytes: &[u8]) {
        for (byte, cell) in bytes.iter().zip(self.cells(position, bytes.len())) {
            cell.store(*byte, Ordering::Relaxed);
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.region.flush().map_err(|error| named("sync map of", &self.path, error))
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` has room for what the call fills in.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        let lower = libc::rlimit { rlim_cur: limit.rlim_max - 1, ..limit };
        // SAFETY: `lower` is valid. One file less harms no test that runs beside this one.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &lower) }, 0);
        assert_eq!(raise_open_files_max().unwrap(), limit.rlim_max);
    }
}
