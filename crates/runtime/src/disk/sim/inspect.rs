//! What a test or a harness may see and do behind the node's back. All of it works while the disk is
//! down, and none of it counts as an operation.

use super::directory::Node;
use super::inode::{Inode, SECTOR_BYTES};
use super::{SimDisk, fault::FaultKind, files, keyed_rng};
use crate::disk::{Disk, OpenMode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl SimDisk {
    /// What the file surely holds after a power loss: its synced bytes under its synced name.
    pub fn durable_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.engine.run(|state| {
            let directory = state.directories.get(path.parent()?)?;
            match directory.durable.get(path.file_name()?.to_str()?)? {
                Node::File(inode) => Some(inode.body().durable.clone()),
                Node::Directory => None,
            }
        })
    }

    /// What a process reads from the file now.
    pub fn cached_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.inode(path).map(|inode| inode.body().cached.clone())
    }

    /// Every file, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            self.engine.run(|state| files(&state.directories).into_iter().map(|(path, _)| path).collect());
        paths.sort();
        paths
    }

    /// Changes a synced byte; `false` if there is none at that position.
    pub fn corrupt(&self, path: &Path, position: u64, xor: u8) -> bool {
        let done = self.inode(path).is_some_and(|inode| inode.body().corrupt(position, xor));
        if done {
            self.engine.run(|state| state.count(FaultKind::BitRot.name(), path, position, 1));
        }
        done
    }

    /// Flips a bit of some synced byte, which `seed` chooses; `None` if nothing is synced.
    pub fn rot(&self, path: &Path, seed: u64) -> Option<u64> {
        let position = self.inode(path)?.body().rot(&mut keyed_rng(seed, FaultKind::BitRot.name(), 0))?;
        self.engine.run(|state| state.count(FaultKind::BitRot.name(), path, position, 1));
        Some(position)
    }

    /// The sector at `position` cannot be read until it is written again; `false` if the file ends before it.
    pub fn break_sector(&self, path: &Path, position: u64) -> bool {
        let done = self.inode(path).is_some_and(|inode| {
            let mut body = inode.body();
            let inside = position < body.cached.len() as u64;
            if inside {
                body.bad_sectors.insert(position / SECTOR_BYTES);
            }
            inside
        });
        if done {
            self.engine.run(|state| state.count(FaultKind::LatentSector.name(), path, position, SECTOR_BYTES));
        }
        done
    }

    /// The file holds `bytes` now, durably; `false` if there is none.
    pub fn tamper(&self, path: &Path, bytes: Vec<u8>) -> bool {
        self.inode(path).map(|inode| inode.body().tamper(bytes)).is_some()
    }

    /// The file's name is gone, durably.
    pub fn lose(&self, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(dir), Some(name)) = (path.parent(), name) else { return };
        self.engine.run(|state| {
            if let Some(directory) = state.directories.get_mut(dir) {
                directory.lose(name);
            }
        });
    }

    /// Writes everything a process would see here below `dir` of another disk, so that what a seed
    /// left behind can be looked at; zeros where a sector cannot be read.
    pub fn copy_to(&self, to: &dyn Disk, dir: &Path) -> io::Result<()> {
        let directories: Vec<PathBuf> = self.engine.run(|state| state.directories.keys().cloned().collect());
        for directory in directories {
            to.create_dir_all(&below(dir, &directory))?;
        }
        for path in self.paths() {
            let Some(inode) = self.inode(&path) else { continue };
            let bytes = {
                let body = inode.body();
                let mut bytes = body.cached.clone();
                for sector in &body.bad_sectors {
                    let start = ((sector * SECTOR_BYTES) as usize).min(bytes.len());
                    let end = (start + SECTOR_BYTES as usize).min(bytes.len());
                    bytes[start..end].fill(0);
                }
                bytes
            };
            let file = to.open(&below(dir, &path), OpenMode::CreateNew)?;
            file.write_all_at(&bytes, 0)?;
        }
        Ok(())
    }

    fn inode(&self, path: &Path) -> Option<Arc<Inode>> {
        self.engine.run(|state| state.file(path).ok())
    }
}

fn below(dir: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(relative) if relative.as_os_str().is_empty() => dir.to_owned(),
        Ok(relative) => dir.join(relative),
        Err(_) => dir.join(path),
    }
}
