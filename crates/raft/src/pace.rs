//! Whether the heartbeat suits the disk. Raft's times all follow from the heartbeat, and a follower answers one
//! that carries records only after a sync: a sync that takes most of a heartbeat makes a leader look dead now and
//! then. So a few syncs are timed at each start. One slow disk at one moment is no reason not to start, though: it
//! is said, there and to whoever asks for the node's status.

use seedlog_runtime::disk::{Disk, File, OpenMode};
use seedlog_runtime::{blocking, clock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The median counts.
const SYNCS: usize = 5;
/// One block.
const BYTES: usize = 4096;
/// Beside the log's own files; one that a crash left is removed when the log is opened, as any of this ending.
const NAME: &str = "sync-time.tmp";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub heartbeat: Duration,
    /// What a sync of one block took at this start; none: it could not be measured.
    pub sync: Option<Duration>,
}

impl Pace {
    /// Times the disk of `dir`.
    pub async fn measure(disk: Arc<dyn Disk>, dir: &Path, heartbeat: Duration) -> Pace {
        let sync = match median_sync(disk, dir.join(NAME)).await {
            Ok(sync) => Some(sync),
            Err(error) => {
                tracing::warn!(%error, "how long the disk takes for a sync could not be measured");
                None
            }
        };
        Pace { heartbeat, sync }
    }

    /// What the heartbeat should be at least, if it is too small for this disk: a sync and as long again for the
    /// way there and back.
    pub fn heartbeat_least(&self) -> Option<Duration> {
        let least = self.sync? * 2;
        // In the setting's unit, and not to the last millisecond.
        let least_ms = u64::try_from(least.as_millis()).unwrap_or(u64::MAX).div_ceil(10) * 10;
        (least > self.heartbeat).then_some(Duration::from_millis(least_ms))
    }
}

/// Each step on its own, and timed on the node's clock, so that in the simulation it takes the disk's time there.
async fn median_sync(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Duration> {
    let (opened, at) = (disk.clone(), path.clone());
    let file = blocking(move || opened.open(&at, OpenMode::CreateNew)).await?;
    let times = sync_times(&file).await;
    drop(file);
    // Nobody needs it to be gone for certain.
    blocking(move || disk.remove(&path)).await?;
    let mut times = times?;
    times.sort();
    Ok(times[SYNCS / 2])
}

async fn sync_times(file: &Arc<dyn File>) -> io::Result<[Duration; SYNCS]> {
    let mut times = [Duration::ZERO; SYNCS];
    for (round, time) in times.iter_mut().enumerate() {
        let (written, synced) = (file.clone(), file.clone());
        blocking(move || written.write_all_at(&[round as u8; BYTES], 0)).await?;
        let began = clock::now();
        blocking(move || synced.sync_data()).await?;
        *time = began.elapsed();
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::disk::SimDisk;
    use seedlog_runtime::disk::sim::{Fault, FaultKind};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_heartbeat_of_less_than_two_syncs_is_too_small_and_what_would_do_is_named() {
        let least = |heartbeat, sync: Option<Duration>| Pace { heartbeat, sync }.heartbeat_least();
        assert_eq!(least(150 * MS, Some(75 * MS)), None);
        assert_eq!(least(150 * MS, Some(76 * MS)), Some(160 * MS));
        assert_eq!(least(150 * MS, Some(Duration::from_secs(3))), Some(Duration::from_secs(6)));
        assert_eq!(least(150 * MS, None), None);
    }

    #[tokio::test]
    async fn the_disk_is_timed_and_nothing_stays_behind() {
        let disk = Arc::new(SimDisk::new(1));
        let dir = Path::new("/groups/0");
        disk.create_dir_all(dir).unwrap();
        let pace = Pace::measure(disk.clone(), dir, 150 * MS).await;
        assert!(pace.sync.is_some(), "{pace:?}");
        assert_eq!(disk.list(dir).unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_disk_that_fails_meanwhile_is_no_reason_not_to_start() {
        let disk = Arc::new(SimDisk::new(1));
        let dir = Path::new("/groups/0");
        disk.create_dir_all(dir).unwrap();
        disk.inject(Fault { kind: FaultKind::SyncError, path_suffix: Some(NAME.into()), skip: 2, times: 1 });
        let pace = Pace::measure(disk.clone(), dir, 150 * MS).await;
        assert_eq!((pace.sync, disk.list(dir).unwrap().len()), (None, 0));
    }
}
