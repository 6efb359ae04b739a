//! What a simulated disk tells its observer, in the order in which it happens.

use std::io;
use std::path::PathBuf;

/// One operation that changes the disk, or one fault. It is `Hash` for a trace hash's sake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiskEvent {
    /// "write", "sync", .. or the name of a fault, as in [`super::SimDisk::fired`].
    pub operation: &'static str,
    pub path: PathBuf,
    pub position: u64,
    pub length: u64,
    /// A hash of the bytes written; 0 if there are none.
    pub content: u64,
    /// For a write, how many bytes were written.
    pub result: Result<u64, io::ErrorKind>,
}
