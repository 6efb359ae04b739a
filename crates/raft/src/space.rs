//! Room on the disk. A write that fails for lack of it would be final; so there is always some kept
//! back for votes, blank entries and trims, and what would eat into that is refused before it is proposed.

use seedlog_runtime::disk::Disk;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    reserve_bytes: u64,
    /// As of the last look.
    free_bytes: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub free_bytes: u64,
    pub reserve_bytes: u64,
}

impl Space {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, reserve_bytes: u64) -> Space {
        Space { disk, dir, reserve_bytes, free_bytes: AtomicU64::new(0) }
    }

    /// Blocking. A file system that does not tell its free space is taken to have some: the write
    /// itself will say.
    pub fn look(&self) {
        let free = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        self.free_bytes.store(free, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Full`] if there is no room beyond the reserve, now and not just at the last look.
    pub async fn admit(self: &Arc<Space>) -> Result<(), Full> {
        if self.has_room() {
            return Ok(());
        }
        let space = self.clone();
        seedlog_runtime::blocking(move || space.look()).await;
        if self.has_room() {
            return Ok(());
        }
        Err(Full { free_bytes: self.free_bytes.load(Ordering::Relaxed), reserve_bytes: self.reserve_bytes })
    }

    fn has_room(&self) -> bool {
        self.free_bytes.load(Ordering::Relaxed) > self.reserve_bytes
    }
}
