//! What the simulated disk does that a real one does only on a bad day.

mod crashes;
mod errors;
mod power_loss;
mod replay;

use seedlog_runtime::disk::sim::{CrashAt, DiskEvent, Fault, FaultKind, PAGE_BYTES, Place, SECTOR_BYTES, is_crash};
use seedlog_runtime::disk::{Disk, File, OpenMode, RealDisk, SimDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SEEDS: std::ops::Range<u64> = 0..400;

fn at(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(7);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk
}

fn create(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    disk.open(&at(name), OpenMode::CreateNew).unwrap()
}

/// A file whose name and bytes are durable.
fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(disk, name);
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    file
}

fn inject(disk: &SimDisk, kind: FaultKind) {
    disk.inject(Fault { kind, path_suffix: None, skip: 0, times: 1 });
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.cached_bytes(&at(name))
}

fn fired(disk: &SimDisk, name: &str) -> u64 {
    disk.fired().get(name).copied().unwrap_or(0)
}

/// What `after` finds after a power loss, over many seeds.
fn outcomes<R: Ord>(prepare: impl Fn(&SimDisk), after: impl Fn(&SimDisk) -> R) -> BTreeSet<R> {
    let outcome = |seed| {
        let disk = new_disk();
        prepare(&disk);
        disk.power_loss(seed);
        after(&disk)
    };
    SEEDS.map(outcome).collect()
}

/// A little of everything, until something fails.
fn exercise(disk: &SimDisk) -> io::Result<()> {
    disk.create_dir_all(Path::new("/data"))?;
    let file = disk.open(&at("a.tmp"), OpenMode::CreateNew)?;
    file.write_all_at(&[b'1'; 2000], 0)?;
    file.allocate(8192)?;
    file.sync_data()?;
    disk.rename(&at("a.tmp"), &at("a"))?;
    disk.sync_dir(Path::new("/data"))?;
    let map = disk.map(&at("a"), 8192)?;
    map.write(5000, b"mapped");
    map.flush()?;
    file.set_len(6000)?;
    file.write_all_at(&[b'2'; 2000], 100)?;
    drop(disk.lock(&at("lock"))?);
    disk.remove(&at("lock"))
}
