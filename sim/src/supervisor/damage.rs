//! Disks that lose what they were given.

use super::{Action, Supervisor};
use crate::machine::Machine;
use crate::plan::Damage;
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use seedlog_log::{Lacking, diagnose};
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rng::keyed;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) const GROUP_DIR: &str = "/data/groups/0";
const SECTOR: usize = 512;
pub(super) const SEE_HEALED_MS: u64 = 300;

/// A store in which nothing changes any more.
pub(super) struct Settled {
    pub entries: Range<u64>,
    pub store: PathBuf,
}

impl Supervisor {
    /// With `down_ms` the node is down meanwhile; without, it goes on.
    pub(super) fn damage(
        &mut self,
        at: usize,
        (what, stores, seed): (Damage, u32, u64),
        down_ms: Option<u64>,
        kind: &'static str,
    ) {
        if self.untouched().is_none() || !self.nodes[at].machine.is_up() {
            return;
        }
        if let Some(down_ms) = down_ms {
            self.crash(at, None);
            self.after_ms(down_ms, Action::Restart { at });
        }
        let mut rng = keyed(seed, &["damage".into()]);
        let mut settled = self.settled(at);
        for _ in 0..stores {
            if settled.is_empty() {
                break;
            }
            let Settled { store, .. } = settled.swap_remove(rng.random_range(0..settled.len()));
            // Of some the disk keeps count by itself.
            if self.lose(at, &store, what, &mut rng) && !matches!(what, Damage::Rot | Damage::Unreadable) {
                self.world.fired(kind);
            }
        }
        if self.hurt == Some(at) {
            self.after_ms(SEE_HEALED_MS, Action::SeeHealed { at, was_sound: false });
        }
    }

    /// The closed stores of which the node's own log says that all is committed.
    pub(super) fn settled(&self, at: usize) -> Vec<Settled> {
        settled_stores(&self.nodes[at].machine.disk)
    }

    /// Whether anything is other than it was.
    pub(super) fn lose(&mut self, at: usize, store: &Path, what: Damage, rng: &mut ChaCha12Rng) -> bool {
        let Machine { disk, number, .. } = &self.nodes[at].machine;
        let is_hurt = damage(disk, store, what, rng);
        if is_hurt {
            self.world.event(format!("node {number} has damage, {what:?}, in {}", store.display()));
            self.hurt = Some(at);
        }
        is_hurt
    }

    /// Whether what a disk lost is back there, or was nothing, and its node serves, and has had the time to say so.
    pub(super) fn see_healed(&mut self, at: usize, was_sound: bool) {
        let node = &self.nodes[at];
        let is_sound = || lacking(&node.machine.disk).is_some_and(|lacking| !lacking.ailing);
        let is_sound = node.ready && !node.marked && is_sound();
        if is_sound && was_sound {
            let number = node.machine.number;
            self.world.event(format!("node {number} has all again that its disk lost"));
            self.hurt = None;
        } else {
            self.after_ms(SEE_HEALED_MS, Action::SeeHealed { at, was_sound: is_sound });
        }
    }

    /// What a start repaired.
    pub(super) fn see_repaired(&mut self, at: usize) {
        let agent = self.world.agent(self.nodes[at].machine.number);
        if let Some(entries) = agent.and_then(|agent| agent.node().repaired()) {
            self.world.fired("repaired");
            let excused = self.nodes[at].is_excused();
            self.needed(at, excused, entries as u64);
        }
    }

    /// What nodes have put right since they started.
    pub(super) fn see_healing(&mut self) {
        for at in 0..self.nodes.len() {
            let number = self.nodes[at].machine.number;
            let Some(agent) = self.world.agent(number) else { continue };
            let is_marked = agent.node().is_marked();
            let was_marked = std::mem::replace(&mut self.nodes[at].marked, is_marked);
            if is_marked != was_marked {
                self.world
                    .event(format!("node {number} {}", if is_marked { "is marked" } else { "is marked no more" }));
                self.world.fired(if is_marked { "marked" } else { "mark_settled" });
            }
            let healed = agent.node().healed();
            let before = std::mem::replace(&mut self.nodes[at].healed, healed);
            if healed.segments > before.segments {
                self.world.fired("healed");
                // A read that failed is like a sector that is lost.
                let excused = self.nodes[at].disk_errors() > 0;
                self.needed(at, excused, healed.entries - before.entries);
            }
        }
    }

    /// What a disk has kept needs no repair: others would make up for a sync that was left out, and nobody would know.
    fn needed(&self, at: usize, excused: bool, entries: u64) {
        let had_damage = self.hurt == Some(at) || self.rotten == Some(at);
        if !had_damage && !excused {
            let number = self.nodes[at].machine.number;
            let what = format!("node {number} fetched {entries} entries to repair a log of which nothing was damaged");
            self.world.complain("recovery", what);
        }
    }
}

/// Behind the node's back: nothing that it does is disturbed.
fn lacking(disk: &SimDisk) -> Option<Lacking> {
    let copy = SimDisk::new(0);
    disk.copy_to(&copy, Path::new("/")).ok()?;
    diagnose(&copy, Path::new(GROUP_DIR), &seedlog_log::Config::default()).ok()
}

fn settled_stores(disk: &SimDisk) -> Vec<Settled> {
    let dir = Path::new(GROUP_DIR);
    let Some(lacking) = lacking(disk).filter(|lacking| !lacking.ailing) else { return Vec::new() };
    let first_index = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let stores = disk.paths().into_iter().filter(|path| is_store(path, dir));
    let stores: Vec<(u64, PathBuf)> = stores.filter_map(|path| Some((first_index(&path)?, path))).collect();
    let next = lacking.committed.map_or(0, |index| index + 1);
    let closed = stores.windows(2).filter(|pair| pair[1].0 <= next);
    closed.map(|pair| Settled { entries: pair[0].0..pair[1].0, store: pair[0].1.clone() }).collect()
}

pub(super) fn is_store(path: &Path, dir: &Path) -> bool {
    path.parent() == Some(dir) && path.extension().is_some_and(|extension| extension == "store")
}

/// Whether anything is other than it was.
fn damage(disk: &SimDisk, store: &Path, what: Damage, rng: &mut ChaCha12Rng) -> bool {
    let mut bytes = disk.cached_bytes(store).unwrap_or_default();
    if bytes.is_empty() {
        return false;
    }
    match what {
        Damage::Rot => disk.rot(store, rng.random()).is_some(),
        Damage::Unreadable => disk.break_sector(store, rng.random_range(0..bytes.len() as u64)),
        Damage::Misdirected => {
            let sectors = bytes.len() / SECTOR;
            if sectors < 2 {
                return false;
            }
            let from = rng.random_range(0..sectors);
            let to = (from + rng.random_range(1..sectors)) % sectors;
            let count = rng.random_range(1..=sectors - from.max(to));
            bytes.copy_within(from * SECTOR..(from + count) * SECTOR, to * SECTOR);
            disk.tamper(store, bytes)
        }
        Damage::Cut => {
            bytes.truncate(rng.random_range(0..bytes.len()));
            disk.tamper(store, bytes)
        }
        Damage::Lost => {
            for extension in ["store", "state", "index"] {
                disk.lose(&store.with_extension(extension));
            }
            true
        }
    }
}

pub(super) fn first_store(disk: &SimDisk) -> Option<PathBuf> {
    disk.paths().into_iter().find(|path| is_store(path, Path::new(GROUP_DIR)))
}

pub(super) fn newest_store(disk: &SimDisk) -> Option<PathBuf> {
    // Their names are numbers of the same width.
    disk.paths().into_iter().rfind(|path| is_store(path, Path::new(GROUP_DIR)))
}
