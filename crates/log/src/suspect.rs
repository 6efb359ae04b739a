//! The file `suspect`: a hint that a segment was found damaged in use and is not whole again yet. A start that finds it
//! reads everything from there on.

use crate::small_file;
use seedlog_runtime::disk::Disk;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"SLSUSPC1";

fn suspect_path(dir: &Path) -> PathBuf {
    dir.join("suspect")
}

/// The first index of the first such segment. A file that says nothing suspects them all.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Option<u64> {
    let body = small_file::read(disk, &suspect_path(dir), MAGIC).transpose()?;
    Some(body.ok().and_then(|body| Some(u64::from_le_bytes(body.try_into().ok()?))).unwrap_or_default())
}

pub(crate) fn write(disk: &dyn Disk, dir: &Path, first_index: u64) -> io::Result<()> {
    small_file::replace(disk, &suspect_path(dir), MAGIC, &first_index.to_le_bytes())
}

pub(crate) fn clear(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    match disk.remove(&suspect_path(dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| disk.sync_dir(dir)),
    }
}
