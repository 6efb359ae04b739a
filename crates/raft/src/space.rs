//! Room on the disk. A write that fails for lack of it would be final; so there is always some kept
//! back for votes, blank entries and trims, and what would eat into that is refused before it is proposed.

use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::disk::Disk;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// What was let in and may not be written yet.
    promised_bytes: Arc<AtomicU64>,
}

/// Room for what was let in, until this is dropped: it is on the disk by then, or will never be.
pub struct Promised {
    bytes: u64,
    all: Arc<AtomicU64>,
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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
        Space { disk, dir, reserve_bytes, seen: Mutex::new(None), promised_bytes: Arc::default() }
    }

    /// Blocking. A file system that does not tell its free space is taken to have some: the write
    /// itself will say.
    pub fn look(&self) -> u64 {
        let free_bytes = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        *self.seen.lock().expect("no holder panics") = Some(Seen { free_bytes, at: clock::now() });
        free_bytes
    }

    /// Lets so many bytes of records in.
    ///
    /// # Errors
    /// [`Full`] if there is no room for them beyond the reserve, and beyond what was let in before.
    pub async fn admit(self: &Arc<Space>, bytes: u64) -> Result<Promised, Full> {
        let all = self.promised_bytes.clone();
        let promised = all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let promise = Promised { bytes, all };
        let needed = self.reserve_bytes.saturating_add(promised);
        let seen = *self.seen.lock().expect("no holder panics");
        if seen.is_some_and(|seen| seen.free_bytes > needed && seen.at.elapsed() < FRESH) {
            return Ok(promise);
        }
        let space = self.clone();
        let free_bytes = seedlog_runtime::blocking(move || space.look()).await;
        if free_bytes > needed {
            return Ok(promise);
        }
        Err(Full { free_bytes, reserve_bytes: self.reserve_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::disk::SimDisk;

    #[tokio::test]
    async fn what_was_let_in_and_is_not_written_yet_takes_room_too() {
        let disk = Arc::new(SimDisk::new(1));
        disk.create_dir_all("/groups/0".as_ref()).unwrap();
        disk.set_space_bytes(Some(1_500));
        let space = Arc::new(Space::new(disk, "/groups/0".into(), 1_000));
        let first = space.admit(300).await.unwrap_or_else(|full| panic!("{full:?}"));
        let full = space.admit(300).await.err();
        assert_eq!(full, Some(Full { free_bytes: 1_500, reserve_bytes: 1_000 }));
        drop(first);
        assert!(space.admit(300).await.is_ok());
    }
}
