//! Room on the disk. A write that fails for lack of it would be final; so there is always some kept
//! back for votes, blank entries and trims, and what would eat into that is refused before it is proposed.
//!
//! What the reserve is for does not use it up. A vote replaces the one before it. Blank entries and changes of the
//! membership are appended, one by each leader that is elected, without end if elections are: so a follower takes in
//! none of them any more when only the last part of the reserve is left, and is to its leader like one that is cut
//! off, until there is room. What a full node appends of its own accord is one entry of some hundred bytes for each
//! election that it wins (of which there is one in four heartbeats at most, and it needs the others' votes), and an
//! administrator's commands: of the last 8 MiB of the usual reserve, that is hours of nothing but elections. Against
//! other programs that fill the disk to its last byte nothing helps: then a vote fails, and the node stops.

use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::disk::Disk;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The writer looks after each batch; when it has had nothing to do for this long, others may have
/// filled the disk.
const FRESH: Duration = Duration::from_millis(100);

/// An eighth of the reserve is the last part of it.
const LAST_PART: u64 = 8;

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
    /// What was to be let in, and what had been let in and was not written yet.
    pub wanted_bytes: u64,
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
        self.admit_beyond(self.reserve_bytes, bytes).await
    }

    /// Lets so many bytes of a leader's entries in that have no records.
    ///
    /// # Errors
    /// [`Full`] if there is no room for them beyond the last part of the reserve.
    pub async fn admit_small(self: &Arc<Space>, bytes: u64) -> Result<Promised, Full> {
        self.admit_beyond(self.reserve_bytes / LAST_PART, bytes).await
    }

    /// What was let in and may not be written yet.
    pub fn promised_bytes(&self) -> u64 {
        self.promised_bytes.load(Ordering::Relaxed)
    }

    async fn admit_beyond(self: &Arc<Space>, kept_bytes: u64, bytes: u64) -> Result<Promised, Full> {
        let all = self.promised_bytes.clone();
        let promised = all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let promise = Promised { bytes, all };
        let needed = kept_bytes.saturating_add(promised);
        let seen = *self.seen.lock().expect("no holder panics");
        // What others have taken since comes out of the reserve: only little may be let in unseen.
        let is_little = promised <= self.reserve_bytes / LAST_PART;
        if is_little && seen.is_some_and(|seen| seen.free_bytes > needed && seen.at.elapsed() < FRESH) {
            return Ok(promise);
        }
        let space = self.clone();
        let free_bytes = seedlog_runtime::blocking(move || space.look()).await;
        if free_bytes > needed {
            return Ok(promise);
        }
        Err(Full { wanted_bytes: promised, free_bytes, reserve_bytes: kept_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::disk::{OpenMode, SimDisk};

    fn space(free_bytes: u64, reserve_bytes: u64) -> Arc<Space> {
        let disk = Arc::new(SimDisk::new(1));
        disk.create_dir_all("/groups/0".as_ref()).unwrap();
        disk.set_space_bytes(Some(free_bytes));
        Arc::new(Space::new(disk, "/groups/0".into(), reserve_bytes))
    }

    #[tokio::test]
    async fn what_was_let_in_and_is_not_written_yet_takes_room_too() {
        let space = space(1_500, 1_000);
        let first = space.admit(300).await.unwrap_or_else(|full| panic!("{full:?}"));
        let full = space.admit(300).await.err();
        assert_eq!(full, Some(Full { wanted_bytes: 600, free_bytes: 1_500, reserve_bytes: 1_000 }));
        drop(first);
        assert!(space.admit(300).await.is_ok());
    }

    #[tokio::test]
    async fn much_is_let_in_only_where_there_is_room_at_that_very_moment() {
        let space = space(100_000, 8_000);
        assert!(space.admit(50_000).await.is_ok());
        // Somebody else is faster.
        let used = 91_000;
        let other = space.disk.open("/other".as_ref(), OpenMode::CreateNew).unwrap();
        other.write_all_at(&vec![0; used], 0).unwrap();
        let full = space.admit(50_000).await.err();
        assert_eq!(full, Some(Full { wanted_bytes: 50_000, free_bytes: 9_000, reserve_bytes: 8_000 }));
        assert!(space.admit(500).await.is_ok());
    }

    #[tokio::test]
    async fn records_stop_at_the_reserve_and_what_keeps_the_cluster_together_at_its_last_part() {
        for (free, records, small) in
            [(8_101, true, true), (8_100, false, true), (1_101, false, true), (1_100, false, false)]
        {
            let space = space(free, 8_000);
            let records_in = space.admit(100).await.is_ok();
            assert_eq!((records_in, space.admit_small(100).await.is_ok()), (records, small), "{free}");
        }
    }
}
