use crate::data_dir::Identity;
use crate::entry::{BadPayload, EntryId};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Synced bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    /// Bytes from the start of the file.
    pub position: u64,
    pub what: &'static str,
    /// The first entry that cannot be shown.
    pub first_index: u64,
    /// The first sound entry after it, if there is one.
    pub next_index: Option<u64>,
    /// The record offsets concerned start here, at or after.
    pub first_offset: u64,
    /// And end before this one, where the next sound batch or segment tells.
    pub next_offset: Option<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} of {}: ", self.what, self.position, self.file.display())?;
        match self.next_index {
            Some(next) => write!(f, "entries {}..{next}", self.first_index)?,
            None => write!(f, "entries {} and after", self.first_index)?,
        }
        match self.next_offset {
            Some(next) if next == self.first_offset => write!(f, ", none of them with records"),
            Some(next) => write!(f, ", record offsets {}..{next}", self.first_offset),
            None => write!(f, ", record offsets {} and after", self.first_offset),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{what} {}: {error}{}", path.display(), hint(error))]
    Io { what: &'static str, path: PathBuf, error: io::Error },
    /// Nothing has been changed on the disk.
    #[error(
        "damaged log: {0}; nothing was changed: restore the file from a copy (`seedlog verify DIR` lists all damage)"
    )]
    Damaged(Damage),
    #[error("{} held a log, and its files are gone: restore them from a copy; nothing was changed", path.display())]
    Lost { path: PathBuf },
    #[error("{} is in use by another process: stop that one, or use another directory", path.display())]
    Locked { path: PathBuf },
    #[error(
        "{} has data format {found}, this program reads up to {known}: use a newer seedlog",
        path.display()
    )]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} belongs to {found}, and this directory to {owner}: put this node's own files back; \
         nothing was changed",
        path.display()
    )]
    Foreign { path: PathBuf, found: Identity, owner: Identity },
    #[error("damaged file {}: {what}; restore it from a copy", path.display())]
    DamagedFile { path: PathBuf, what: &'static str },
    /// Entries given to repair a store are not those that were in it. The store is as it was.
    #[error("entries {from}..{to} that were to repair {} are not those that were in it: {what}", path.display())]
    BadCopy { path: PathBuf, from: u64, to: u64, what: &'static str },
    #[error("{} holds log files but no {}: not opened, nothing was changed", path.display(), missing)]
    NoIdentity { path: PathBuf, missing: &'static str },
}

/// What to do, where the system's own words leave that open.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "; nothing was changed: mount it for writing, or use another directory",
        io::ErrorKind::PermissionDenied => "; the user that runs this must be able to read and write there",
        _ => "",
    }
}

/// The log takes no more writes once it has returned one of these, and repeats it: a failed sync may
/// have lost what it should have made durable, and is never retried.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    #[error("{what} {}: {error}", path.display())]
    Io { what: &'static str, path: PathBuf, error: std::sync::Arc<io::Error> },
    #[error("entry {found} does not follow entry {}", last.map_or("(none)".into(), |l| l.to_string()))]
    Gap { last: Option<EntryId>, found: EntryId },
    #[error("entry {id}: {error}")]
    Payload { id: EntryId, error: BadPayload },
    #[error("entry {id} has a payload of {bytes} bytes, over the limit of {max}")]
    TooLarge { id: EntryId, bytes: usize, max: usize },
    #[error("entries from {index} on cannot be truncated: the log starts at {first_index}")]
    Purged { index: u64, first_index: u64 },
    #[error("read back while writing: {0}")]
    Read(#[from] ReadError),
}

impl ReadError {
    /// An entry of the segment that could not be read, if it was that.
    pub fn index_at(&self) -> Option<u64> {
        match self {
            ReadError::Damaged(damage) => Some(damage.first_index),
            ReadError::Io { path, .. } => {
                crate::segment::parse_name(path.file_name()?.to_str()?).map(|(first_index, _)| first_index)
            }
            ReadError::Purged { .. } | ReadError::Trimmed { .. } => None,
        }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("damaged log: {0}")]
    Damaged(Damage),
    #[error("read {} at byte {position}: {error}", path.display())]
    Io { path: PathBuf, position: u64, error: std::sync::Arc<io::Error> },
    #[error("entry {index} is before the log's first, {first_index}")]
    Purged { index: u64, first_index: u64 },
    #[error("record {offset} is before the first one kept, {first_offset}")]
    Trimmed { offset: u64, first_offset: u64 },
}
