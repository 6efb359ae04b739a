//! Random histories on the simulated disk against a model so plain that it can be believed: synced data
//! survives any number of power losses, and of the rest nothing appears that nobody wrote.

use proptest::prelude::*;
use seedlog_runtime::disk::sim::{Fault, FaultKind};
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Op {
    Create { name: usize },
    Write { name: usize, position: u64, length: usize },
    WriteMapped { name: usize, position: usize, length: usize },
    SetLen { name: usize, len: u64 },
    Allocate { name: usize, len: u64 },
    Sync { name: usize },
    FailSync { name: usize },
    Rename { from: usize, to: usize },
    Remove { name: usize },
    SyncDirectory,
    CrashProcess,
    PowerLoss { seed: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => name().prop_map(|name| Op::Create { name }),
        6 => (name(), 0..6000u64, 1..3000usize).prop_map(|(name, position, length)| Op::Write { name, position, length }),
        4 => (name(), 0..6000usize, 1..600usize)
            .prop_map(|(name, position, length)| Op::WriteMapped { name, position, length }),
        2 => (name(), 0..9000u64).prop_map(|(name, len)| Op::SetLen { name, len }),
        1 => (name(), 0..9000u64).prop_map(|(name, len)| Op::Allocate { name, len }),
        4 => name().prop_map(|name| Op::Sync { name }),
        1 => name().prop_map(|name| Op::FailSync { name }),
        2 => (name(), name()).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => name().prop_map(|name| Op::Remove { name }),
        4 => Just(Op::SyncDirectory),
        1 => Just(Op::CrashProcess),
        2 => any::<u64>().prop_map(|seed| Op::PowerLoss { seed }),
    ]
}

#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes: written } => {
                let end = position + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*position..end].copy_from_slice(written);
            }
            Change::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct ModelFile {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl ModelFile {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Whether a power loss may leave `found`; why not.
    fn may_become(&self, found: &[u8]) -> Result<(), String> {
        let kept = self.unsynced.iter().fold(self.durable.len(), |kept, change| match change {
            Change::SetLen(len) => kept.min(*len),
            Change::Write { .. } => kept,
        });
        if found.len() < kept {
            return Err(format!("{} bytes left of {kept} that were synced", found.len()));
        }
        let longest = self.unsynced.iter().fold(self.durable.len(), |longest, change| match change {
            Change::SetLen(len) => longest.max(*len),
            Change::Write { position, bytes } => longest.max(position + bytes.len()),
        });
        if found.len() > longest {
            return Err(format!("{} bytes, more than there ever were", found.len()));
        }
        for (position, byte) in found.iter().enumerate() {
            let written = |change: &Change| match change {
                Change::Write { position: from, bytes } => {
                    position.checked_sub(*from).and_then(|at| bytes.get(at)) == Some(byte)
                }
                // What is cut off and extended again is zeros.
                Change::SetLen(len) => position >= *len && *byte == 0,
            };
            let synced = self.durable.get(position).copied().unwrap_or(0) == *byte;
            if !synced && !self.unsynced.iter().any(written) {
                return Err(format!("{byte} at {position} was never written there"));
            }
        }
        Ok(())
    }
}

type Names = BTreeMap<&'static str, usize>;

struct World {
    disk: SimDisk,
    files: Vec<ModelFile>,
    /// What the directory looked like when it was last synced, and after each change since.
    names: Vec<Names>,
    writes: u8,
}

impl World {
    fn new() -> World {
        let disk = SimDisk::new(0);
        disk.create_dir_all(Path::new("/d")).unwrap();
        World { disk, files: Vec::new(), names: vec![Names::new()], writes: 0 }
    }

    fn now(&self) -> &Names {
        self.names.last().expect("never empty")
    }

    fn rename_to(&mut self, change: impl FnOnce(&mut Names)) {
        let mut names = self.now().clone();
        change(&mut names);
        self.names.push(names);
    }

    fn step(&mut self, op: &Op) {
        let file = |world: &World, name: usize| world.now().get(NAMES[name]).copied();
        match *op {
            Op::Create { name } => {
                let created = self.disk.open(&path(name), OpenMode::CreateNew);
                assert_eq!(created.is_ok(), file(self, name).is_none());
                if created.is_ok() {
                    self.files.push(ModelFile::default());
                    let id = self.files.len() - 1;
                    self.rename_to(|names| _ = names.insert(NAMES[name], id));
                }
            }
            Op::Write { name, position, length } => {
                let Some(id) = file(self, name) else { return };
                let bytes = self.fresh(length);
                self.open(name).write_all_at(&bytes, position).unwrap();
                self.files[id].change(Change::Write { position: position as usize, bytes });
            }
            Op::WriteMapped { name, position, length } => {
                let Some(id) = file(self, name) else { return };
                if position + length > self.files[id].cached.len() {
                    return;
                }
                let bytes = self.fresh(length);
                self.disk.map(&path(name), position + length).unwrap().write(position, &bytes);
                self.files[id].change(Change::Write { position, bytes });
            }
            Op::SetLen { name, len } => {
                let Some(id) = file(self, name) else { return };
                self.open(name).set_len(len).unwrap();
                self.files[id].change(Change::SetLen(len as usize));
            }
            Op::Allocate { name, len } => {
                let Some(id) = file(self, name) else { return };
                self.open(name).allocate(len).unwrap();
                let position = self.files[id].cached.len();
                if let Some(zeros) = (len as usize).checked_sub(position).filter(|zeros| *zeros > 0) {
                    self.files[id].change(Change::Write { position, bytes: vec![0; zeros] });
                }
            }
            Op::Sync { name } => {
                let Some(id) = file(self, name) else { return };
                self.open(name).sync_data().unwrap();
                self.files[id].sync();
            }
            Op::FailSync { name } => {
                let Some(id) = file(self, name) else { return };
                self.disk.inject(Fault { kind: FaultKind::SyncError, path_suffix: None, skip: 0, times: 1 });
                self.open(name).sync_data().unwrap_err();
                self.files[id].unsynced.clear();
            }
            Op::Rename { from, to } => {
                let id = file(self, from);
                assert_eq!(self.disk.rename(&path(from), &path(to)).is_ok(), id.is_some());
                if let Some(id) = id {
                    self.rename_to(|names| {
                        names.remove(NAMES[from]);
                        names.insert(NAMES[to], id);
                    });
                }
            }
            Op::Remove { name } => {
                assert_eq!(self.disk.remove(&path(name)).is_ok(), file(self, name).is_some());
                self.rename_to(|names| _ = names.remove(NAMES[name]));
            }
            Op::SyncDirectory => {
                self.disk.sync_dir(Path::new("/d")).unwrap();
                self.names.drain(..self.names.len() - 1);
            }
            Op::CrashProcess => self.disk.crash_process(),
            Op::PowerLoss { seed } => {
                self.disk.power_loss(seed);
                self.adopt();
            }
        }
    }

    /// After a power loss: what is found must be one of the things that may be; go on from there.
    fn adopt(&mut self) {
        let found: BTreeMap<&str, Vec<u8>> = NAMES
            .iter()
            .filter_map(|name| Some((*name, self.disk.cached_bytes(&Path::new("/d").join(name))?)))
            .collect();
        let why_not = |names: &Names| {
            if !names.keys().eq(found.keys()) {
                return Err(format!("names {:?}", names.keys()));
            }
            names.iter().try_for_each(|(name, id)| {
                self.files[*id].may_become(&found[name]).map_err(|why| format!("{name}: {why}"))
            })
        };
        let tried: Vec<_> = self.names.iter().map(why_not).collect();
        let Some(state) = tried.iter().position(Result::is_ok) else {
            panic!("after the power loss {:?} is none of what it may be: {tried:?}", found.keys());
        };
        let names = self.names[state].clone();
        for (name, id) in &names {
            let bytes = found[name].clone();
            self.files[*id] = ModelFile { cached: bytes.clone(), durable: bytes, unsynced: Vec::new() };
        }
        self.names = vec![names];
    }

    /// The disk reads as the model does; and a power loss now would keep what is synced.
    fn check(&self) {
        assert_eq!(self.disk.list(Path::new("/d")).unwrap(), Vec::from_iter(self.now().keys().copied()));
        for (name, id) in self.now() {
            let path = Path::new("/d").join(name);
            assert!(self.disk.cached_bytes(&path).unwrap() == self.files[*id].cached, "{name} reads as something else");
        }
        for (name, id) in &self.names[0] {
            let path = Path::new("/d").join(name);
            assert!(self.disk.durable_bytes(&path).unwrap() == self.files[*id].durable, "{name} keeps something else");
        }
        let used: usize = self.now().values().map(|id| self.files[*id].cached.len()).sum();
        assert!(self.disk.used_bytes() >= used as u64);
    }

    /// Bytes that no earlier write had, nearly.
    fn fresh(&mut self, length: usize) -> Vec<u8> {
        self.writes = self.writes % 255 + 1;
        vec![self.writes; length]
    }

    fn open(&self, name: usize) -> std::sync::Arc<dyn seedlog_runtime::disk::File> {
        self.disk.open(&path(name), OpenMode::ReadWrite).unwrap()
    }
}

fn path(name: usize) -> PathBuf {
    Path::new("/d").join(NAMES[name])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synced_data_survives_any_number_of_power_losses(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            world.check();
        }
        // With all synced, no power loss changes anything, and no byte is held that no file has.
        for name in 0..NAMES.len() {
            world.step(&Op::Sync { name });
        }
        world.step(&Op::SyncDirectory);
        let before: Vec<_> = world.disk.paths().iter().map(|path| world.disk.durable_bytes(path)).collect();
        for seed in 0..3 {
            world.step(&Op::PowerLoss { seed });
            world.check();
        }
        let after: Vec<_> = world.disk.paths().iter().map(|path| world.disk.cached_bytes(path)).collect();
        prop_assert!(before == after);
        let total: usize = after.iter().flatten().map(Vec::len).sum();
        prop_assert_eq!(world.disk.used_bytes(), total as u64);
    }
}
