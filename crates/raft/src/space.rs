//! Room on the disk. A write that fails for lack of it would be final; so there is always some kept
//! back for votes, blank entries and trims, and what would eat into that is refused before it is proposed.

use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::disk::Disk;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The writer looks after each batch; when it has had nothing to do for this long, others may have
/// filled the disk.
const FRESH: Duration = Duration::from_millis(100);

pub struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    reserve_bytes: u64,
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    free_bytes: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub free_bytes: u64,
    pub reserve_bytes: u64,
}

impl Space {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, reserve_bytes: u64) -> Space {
        Space { disk, dir, reserve_bytes, seen: Mutex::new(None) }
    }

    /// Blocking. A file system that does not tell its free space is taken to have some: the write
    /// itself will say.
    pub fn look(&self) -> u64 {
        let free_bytes = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        *self.seen.lock().expect("no holder panics") = Some(Seen { free_bytes, at: clock::now() });
        free_bytes
    }

    /// # Errors
    /// [`Full`] if there is no room beyond the reserve.
    pub async fn admit(self: &Arc<Space>) -> Result<(), Full> {
        let seen = *self.seen.lock().expect("no holder panics");
        if seen.is_some_and(|seen| seen.free_bytes > self.reserve_bytes && seen.at.elapsed() < FRESH) {
            return Ok(());
        }
        let space = self.clone();
        let free_bytes = seedlog_runtime::blocking(move || space.look()).await;
        if free_bytes > self.reserve_bytes {
            return Ok(());
        }
        Err(Full { free_bytes, reserve_bytes: self.reserve_bytes })
    }
}
