//! Names the operation and the path in an I/O error; the kind stays, the errno stays in the text.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What an error of a [`super::Disk`] carries: `sync /data/groups/0/7.store: .. (os error 5)`.
#[derive(Debug)]
pub struct DiskError {
    pub operation: &'static str,
    pub path: PathBuf,
    pub cause: io::Error,
}

impl fmt::Display for DiskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.operation, self.path.display(), self.cause)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

pub(super) fn named(operation: &'static str, path: &Path, cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), DiskError { operation, path: path.to_owned(), cause })
}

/// A rename moves a name within one directory: across two, no order of directory syncs keeps a power
/// loss from showing both names or none, and nothing here needs it.
pub(super) fn same_directory(from: &Path, to: &Path) -> io::Result<()> {
    if from.parent() == to.parent() { Ok(()) } else { Err(io::ErrorKind::CrossesDevices.into()) }
}
