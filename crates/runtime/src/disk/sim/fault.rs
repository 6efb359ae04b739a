//! What can be injected, and where it stands.

use super::keyed_rng;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::path::Path;

/// A fault that hits calls on matching paths. What a call returns is an I/O error (EIO) unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A file's sync or a map's flush fails. What was unsynced stays readable until the power goes
    /// and can never become durable; the next sync says Ok.
    SyncError,
    /// The same for a directory.
    SyncDirError,
    /// A write, `set_len` or `allocate` fails and does nothing.
    WriteError,
    /// Some of the bytes are written and their number is returned.
    ShortWrite,
    /// A read fails; the same read later does not.
    ReadError,
    /// A sector in the range of a read goes bad: reading it fails until it is written again.
    LatentSector,
    /// A sync succeeds and a bit of what the file holds durably flips, where it is not zeros if
    /// possible (room written ahead is nobody's data).
    BitRot,
    /// A write lands elsewhere in the same file, a multiple of 512 bytes away, and says Ok.
    MisdirectedWrite,
}

impl FaultKind {
    pub const ALL: [FaultKind; 8] = [
        FaultKind::SyncError,
        FaultKind::SyncDirError,
        FaultKind::WriteError,
        FaultKind::ShortWrite,
        FaultKind::ReadError,
        FaultKind::LatentSector,
        FaultKind::BitRot,
        FaultKind::MisdirectedWrite,
    ];

    /// The key under which [`super::SimDisk::fired`] counts it.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::SyncError => "sync_error",
            FaultKind::SyncDirError => "sync_dir_error",
            FaultKind::WriteError => "write_error",
            FaultKind::ShortWrite => "short_write",
            FaultKind::ReadError => "read_error",
            FaultKind::LatentSector => "latent_sector",
            FaultKind::BitRot => "bit_rot",
            FaultKind::MisdirectedWrite => "misdirected_write",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Only paths that end like this, such as ".store"; all if `None`.
    pub path_suffix: Option<String>,
    /// How many matching calls pass unharmed first.
    pub skip: u64,
    /// How many are then hit.
    pub times: u64,
}

/// When, relative to an operation on the disk, the node goes down. See [`super::SimDisk::arm_crash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrashAt {
    Before,
    /// A write leaves a part of itself; what cannot be half done is done or not.
    Inside,
    After,
}

/// Operations that may be told from others. See [`super::SimDisk::arm_crash_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// As in [`super::DiskEvent::operation`].
    pub operation: &'static str,
    /// How the path ends; of a rename it is the one before.
    pub path_suffix: &'static str,
}

impl Place {
    pub(super) fn is(self, operation: &str, path: &Path) -> bool {
        operation == self.operation && path.to_string_lossy().ends_with(self.path_suffix)
    }
}

#[derive(Default)]
pub(super) struct Faults {
    active: Vec<Active>,
    injected: BTreeMap<FaultKind, u64>,
}

struct Active {
    fault: Fault,
    rng: ChaCha12Rng,
}

impl Faults {
    /// Each fault draws from a stream of its own, so that leaving one out changes no other.
    pub(super) fn inject(&mut self, seed: u64, fault: Fault) {
        let nth = self.injected.entry(fault.kind).or_default();
        let rng = keyed_rng(seed, fault.kind.name(), *nth);
        *nth += 1;
        self.active.push(Active { fault, rng });
    }

    /// Those that were injected with the same words hit nothing more.
    pub(super) fn withdraw(&mut self, kind: FaultKind, path_suffix: Option<&str>) {
        let is_it = |fault: &Fault| fault.kind == kind && fault.path_suffix.as_deref() == path_suffix;
        self.active.retain(|active| !is_it(&active.fault));
    }

    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    /// Counts a call that `kind` could hit; the stream to draw from if it does.
    pub(super) fn hit(&mut self, kind: FaultKind, path: &Path) -> Option<&mut ChaCha12Rng> {
        let mut hit = None;
        for (nth, Active { fault, .. }) in self.active.iter_mut().enumerate() {
            if fault.kind != kind || fault.times == 0 || !matches(fault, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if hit.is_none() {
                fault.times -= 1;
                hit = Some(nth);
            }
        }
        hit.map(|nth| &mut self.active[nth].rng)
    }
}

fn matches(fault: &Fault, path: &Path) -> bool {
    fault.path_suffix.as_deref().is_none_or(|suffix| path.to_string_lossy().ends_with(suffix))
}
