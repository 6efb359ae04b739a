//! A disk in memory, for one simulated node; it outlives the node.
//!
//! It is plain and deterministic: the same calls give the same bytes. Between the two worst things
//! that happen to a node it makes the difference that decides whether a log is one:
//!
//! - [`SimDisk::crash_process`] (kill -9): everything written stays, synced or not. Handles, maps and
//!   locks are dead.
//! - [`SimDisk::power_loss`]: what was synced stays. Of the rest each write survives, vanishes or
//!   tears at a 512-byte boundary, each mapped page likewise (at a moment of the kernel's choosing),
//!   and of each directory's changes since its sync a prefix survives, mostly none.
//!
//! Simplifications, all of them harsher than a real disk: a file's sync never makes its name durable; a
//! hole takes as much room as data; a removed file takes room until its directory is synced; a
//! misdirected or rotten byte is seen at once, as if the page cache had been dropped.

mod directory;
mod engine;
mod event;
mod fault;
mod handle;
mod inode;
mod inspect;

pub use engine::Crashed;
pub use event::DiskEvent;
pub use fault::{CrashAt, Fault, FaultKind, Place};
pub use inode::{PAGE_BYTES, SECTOR_BYTES};

use super::error::{named, same_directory};
use super::{Disk, DiskError, File, Lock, Map, OpenMode};
use directory::{Change, Directory, Node};
use engine::{Armed, Call, Engine, happens, split};
use handle::{Handle, SimFile, SimLock, SimMap};
use inode::{Fate, Inode};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Clones share the disk.
#[derive(Clone)]
pub struct SimDisk {
    engine: Arc<Engine>,
}

impl SimDisk {
    /// An empty disk: the directory `/`. The seed decides what faults and crashes draw; power losses
    /// bring their own.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { engine: Arc::new(Engine::new(seed)) }
    }

    /// The process dies, the machine lives on. Brings a disk that is down up again.
    pub fn crash_process(&self) {
        self.engine.run(|state| {
            state.life += 1;
            state.down = false;
            state.count("process_crash", Path::new("/"), 0, 0);
        });
    }

    /// The machine goes off and on again. Brings a disk that is down up again. What is lost is
    /// decided by `seed`, for each file apart, and counted in [`SimDisk::fired`] as `unsynced_lost`,
    /// `torn_write` and `dir_entry_lost`.
    pub fn power_loss(&self, seed: u64) {
        self.engine.run(|state| {
            state.life += 1;
            state.down = false;
            state.count("power_loss", Path::new("/"), 0, 0);
            let mut directories = std::mem::take(&mut state.directories);
            for (path, directory) in &mut directories {
                let lost = directory.power_loss(&mut path_rng(seed, "directory", path));
                for _ in 0..lost {
                    state.count("dir_entry_lost", path, 0, 0);
                }
            }
            state.directories = reachable(directories);
            for (path, inode) in files(&state.directories) {
                for settled in inode.body().power_loss(&mut path_rng(seed, "file", &path)) {
                    let name = match settled.fate {
                        Fate::Survived => continue,
                        Fate::Lost => "unsynced_lost",
                        Fate::Torn => "torn_write",
                    };
                    state.count(name, &path, settled.position, settled.length);
                }
            }
        });
    }

    /// Another disk takes its place, empty and without faults, in the same machine; the process is dead. Brings a
    /// disk that is down up again. What it draws from, and what has been counted, goes on.
    pub fn wipe(&self) {
        self.clear_faults();
        self.engine.run(|state| {
            state.life += 1;
            state.down = false;
            state.directories = BTreeMap::from([(PathBuf::from("/"), Directory::default())]);
            state.count("wipe", Path::new("/"), 0, 0);
        });
    }

    /// Lets `after_ops` more operations that change the disk pass and goes down at the next: from then
    /// on every call fails with [`Crashed`], until [`SimDisk::crash_process`] or [`SimDisk::power_loss`].
    pub fn arm_crash(&self, after_ops: u64, at: CrashAt) {
        self.engine.run(|state| state.armed = Some(Armed { once_shortened: false, after_ops, at, place: None }));
    }

    /// The same, but what is let pass, and where it goes down, are only operations like this.
    pub fn arm_crash_at(&self, place: Place, after_ops: u64, at: CrashAt) {
        self.engine.run(|state| {
            state.armed = Some(Armed { once_shortened: false, after_ops, at, place: Some(place) });
        });
    }

    /// The same, but what is let pass counts from the next time that a file is made shorter: that of which the
    /// caller may believe that it is gone.
    pub fn arm_crash_once_shortened(&self, after_ops: u64, at: CrashAt) {
        self.engine.run(|state| state.armed = Some(Armed { once_shortened: true, after_ops, at, place: None }));
    }

    /// Takes an armed crash back that has not come.
    pub fn disarm_crash(&self) {
        self.engine.run(|state| state.armed = None);
    }

    pub fn is_down(&self) -> bool {
        self.engine.run(|state| state.down)
    }

    /// Called, with no lock held, when an armed crash has brought the disk down.
    pub fn on_down(&self, hook: Box<dyn Fn() + Send + Sync>) {
        self.engine.run(|state| state.on_down = Some(hook.into()));
    }

    /// Operations that changed the disk, or tried to: the places where one can crash.
    pub fn operations(&self) -> u64 {
        self.engine.run(|state| state.operations)
    }

    pub fn inject(&self, fault: Fault) {
        self.engine.run(|state| state.faults.inject(state.seed, fault));
    }

    /// No more faults of this kind on these paths, whoever injected them.
    pub fn withdraw(&self, kind: FaultKind, path_suffix: Option<&str>) {
        self.engine.run(|state| state.faults.withdraw(kind, path_suffix));
    }

    /// A limit for the bytes in all files together; `None` lifts it. A write that would pass it is cut
    /// short, or fails with `StorageFull` (counted as `no_space`).
    pub fn set_space_bytes(&self, limit: Option<u64>) {
        self.engine.run(|state| state.space_bytes = limit);
    }

    pub fn used_bytes(&self) -> u64 {
        self.engine.run(|state| state.used.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// No more faults, no armed crash, no limit. Damage done stays.
    pub fn clear_faults(&self) {
        self.engine.run(|state| {
            state.faults.clear();
            state.armed = None;
            state.space_bytes = None;
        });
    }

    /// How often each thing happened that only a simulated disk does.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.engine.run(|state| state.fired.clone())
    }

    /// Called, with no lock held, for each operation that changes the disk and for each fault.
    pub fn observe(&self, observer: Box<dyn Fn(&DiskEvent) + Send + Sync>) {
        self.engine.run(|state| state.observer = Some(observer.into()));
    }

    fn handle(&self, inode: Arc<Inode>, path: &Path, life: u64) -> Handle {
        Handle { engine: self.engine.clone(), inode, path: path.to_owned(), life }
    }
}

/// Whether a call failed because its simulated process has crashed.
pub fn is_crash(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.is::<Crashed>() || inner.downcast_ref::<DiskError>().is_some_and(|error| is_crash(&error.cause))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let (inode, life) = if mode == OpenMode::CreateNew {
            let mut created = None;
            self.engine.mutate(Call::new("open", path), None, |state, part| {
                created = Some((state.create_file(path, part)?, state.life));
                Ok(0)
            })?;
            created.expect("set on success")
        } else {
            self.engine.query(Call::new("open", path), None, |state| Ok((state.file(path)?, state.life)))?
        };
        Ok(Arc::new(SimFile { handle: self.handle(inode, path, life), writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.engine.mutate(Call::new("rename", from), None, |state, part| {
            same_directory(from, to)?;
            let ((parent, from_name), (_, to_name)) = (split(from)?, split(to)?);
            let node = Node::File(state.file(from)?);
            if matches!(state.entry(to)?, Some(Node::Directory)) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if from_name != to_name && happens(part) {
                let change = Change::Rename { from: from_name.to_owned(), to: to_name.to_owned(), node };
                state.directory(parent)?.change(change);
            }
            Ok(0)
        })?;
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.engine.mutate(Call::new("remove", path), None, |state, part| {
            state.file(path)?;
            let (parent, name) = split(path)?;
            if happens(part) {
                state.directory(parent)?.change(Change::Unlink { name: name.to_owned() });
            }
            Ok(0)
        })?;
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.engine
            .query(Call::new("list", dir), None, |state| Ok(state.directory(dir)?.current.keys().cloned().collect()))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.engine.query(Call::new("look for", path), None, |state| {
            let found = state.directories.contains_key(path) || state.file(path).is_ok();
            Ok(found)
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let found = self
            .engine
            .query(Call::new("create directory", dir), None, |state| Ok(state.directories.contains_key(dir)))?;
        let Some(parent) = dir.parent() else {
            let absolute = if found { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) };
            return absolute.map_err(|error| named("create directory", dir, error));
        };
        if !found {
            self.create_dir_all(parent)?;
            self.engine.mutate(Call::new("create directory", dir), None, |state, part| {
                let (_, name) = split(dir)?;
                if state.entry(dir)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                if happens(part) {
                    let change = Change::Link { name: name.to_owned(), node: Node::Directory };
                    state.directory(parent)?.change(change);
                    state.directories.insert(dir.to_owned(), Directory::default());
                }
                Ok(0)
            })?;
        }
        // Also if it was found: who created it may have died before this.
        self.sync_dir(parent)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.engine.mutate(Call::new("sync directory", dir), None, |state, part| {
            state.directory(dir)?;
            if part.is_some() {
                return Ok(0);
            }
            if state.hit(FaultKind::SyncDirError, dir, 0, 0) {
                state.directory(dir)?.forget_pending();
                return Err(engine::eio());
            }
            state.directory(dir)?.sync();
            Ok(0)
        })?;
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        match self.open(path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => drop(other?),
        }
        self.engine.query(Call::new("lock", path), None, |state| {
            let inode = state.file(path)?;
            let mut body = inode.body();
            if body.locked_in == Some(state.life) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            body.locked_in = Some(state.life);
            drop(body);
            Ok(Box::new(SimLock { inode, life: state.life }) as Box<dyn Lock>)
        })
    }

    fn map(&self, path: &Path, len: usize) -> io::Result<Arc<dyn Map>> {
        let (inode, life) = self.engine.query(Call::new("map", path), None, |state| {
            let inode = state.file(path)?;
            if inode.body().cached.len() < len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((inode, state.life))
        })?;
        Ok(Arc::new(SimMap { handle: self.handle(inode, path, life), len }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.engine.query(Call::new("free space of", dir), None, |state| {
            state.directory(dir)?;
            Ok(state.free_bytes())
        })
    }
}

/// A directory whose own name was lost is gone, with all that is in it.
fn reachable(directories: BTreeMap<PathBuf, Directory>) -> BTreeMap<PathBuf, Directory> {
    let mut kept: BTreeMap<PathBuf, Directory> = BTreeMap::new();
    // Paths sort by component: a directory comes before what is in it.
    for (path, directory) in directories {
        let named = split(&path).is_ok_and(|(parent, name)| {
            let entry = kept.get(parent).and_then(|parent| parent.current.get(name));
            matches!(entry, Some(Node::Directory))
        });
        if named || path == Path::new("/") {
            kept.insert(path, directory);
        }
    }
    kept
}

/// Every file that has a name now, in the order of their paths' directories.
fn files(directories: &BTreeMap<PathBuf, Directory>) -> Vec<(PathBuf, Arc<Inode>)> {
    let mut files = Vec::new();
    for (path, directory) in directories {
        for (name, node) in &directory.current {
            if let Node::File(inode) = node {
                files.push((path.join(name), inode.clone()));
            }
        }
    }
    files
}

fn path_rng(seed: u64, purpose: &str, path: &Path) -> ChaCha12Rng {
    keyed_rng(seed, purpose, fnv(path.as_os_str().as_encoded_bytes()))
}

/// A stream for one decision: what the others draw does not move it.
fn keyed_rng(seed: u64, purpose: &str, nth: u64) -> ChaCha12Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(purpose.as_bytes()).to_le_bytes());
    key[16..24].copy_from_slice(&nth.to_le_bytes());
    ChaCha12Rng::from_seed(key)
}

/// FNV-1a: the same in every build and version, which std's hashers do not promise.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
